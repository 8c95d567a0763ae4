"""Where a history is cut into what may be learned from, validation and test."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.errors import DataError
from sidrec.ingest.raw import TIME

_COUNTING_SHARE = 0.95  # of the users; dirty rows may break the count of a few
Ends = tuple[NDArray[np.int32], NDArray[np.int32]]


def leave_last_out(lengths_U: NDArray[np.int64]) -> Ends:
    """``train_end`` and ``valid_end`` (int32 ``(U,)``): the last purchase is test, the one before it validation.

    A user with fewer than three purchases is all training. This is the protocol of the literature (SASRec, TIGER), which
    makes numbers comparable. Its weakness: there is no common point in time, so one user's training purchases may be
    later than another's test purchase, and a model learns from a future that it would not know in production.

    >>> [ends.tolist() for ends in leave_last_out(np.array([5, 3, 2]))]
    [[3, 1, 2], [4, 2, 2]]
    """
    n = lengths_U.astype(np.int32)
    long_enough = n >= 3
    return np.where(long_enough, n - 2, n), np.where(long_enough, n - 1, n)


def global_time(user_M: NDArray[np.int64], time_M: NDArray[np.float64], valid_share: float, test_share: float) -> Ends:
    """The same, by two points in time for all: quantiles of the times of all purchases.

    ``user_M`` (0, 1, ... without gaps, ascending) and ``time_M`` (ascending within a user) describe M purchases. What was
    bought before the first point is training, before the second validation, from then on test. This is how production
    looks. Its weakness: few users have purchases on both sides of a point, so test cases are few and of busy users, users
    who only came later are never tested, and a season that falls behind the points is never learned.

    Raises:
        DataError: nothing would be left to learn from.
    """
    ordered = np.sort(time_M)
    first, second = _point(ordered, valid_share + test_share), _point(ordered, test_share)
    n_users = int(user_M[-1]) + 1
    train = np.bincount(user_M[time_M < first], minlength=n_users).astype(np.int32)
    valid = np.bincount(user_M[time_M < second], minlength=n_users).astype(np.int32)
    if not train.any():
        raise DataError(
            f"ingest.split = 'global-time': no purchase is earlier than the first point in time (valid_share = {valid_share}, "
            f"test_share = {test_share}; {len(np.unique(ordered))} different times); lower the shares or use 'leave-last-out'"
        )
    return train, valid


def _point(ordered: NDArray[np.float64], share_after: float) -> float:
    """The time from which on about ``share_after`` of all purchases lie; infinity for none."""
    at = round(len(ordered) * (1 - share_after))
    return float(ordered[at]) if at < len(ordered) else np.inf


def times_are_positions(log: pl.DataFrame) -> bool:
    """Whether the times only count each user's purchases (0, 1, 2... or 1, 2, 3...), so that they cannot be compared.

    ``log``: ``user_id`` and ``TIME`` of readable purchases, before any filter makes gaps. A few dirty rows do not hide it.
    """
    if not log.height:
        return False
    users = log.group_by(c.USER_ID).agg(pl.min(TIME).alias("first"), pl.max(TIME).alias("last"), pl.n_unique(TIME).alias("n"))
    counting = pl.col("first").is_between(0, 1) & (pl.col("last") - pl.col("first") + 1 == pl.col("n"))
    share = users.select(counting.mean()).item()
    return share is not None and share >= _COUNTING_SHARE


def split(log: pl.DataFrame, method: str, valid_share: float, test_share: float) -> pl.DataFrame:
    """Histories of ``HISTORY_SCHEMA`` from a log by user and time (see ``filters.Kept``), by user id.

    Raises:
        DataError: see ``global_time``.
    """
    histories = log.group_by(c.USER_ID, maintain_order=True).agg(
        pl.col(c.ITEM_INDEX).alias(c.ITEMS), pl.col(TIME).floor().cast(pl.Int64).alias(c.TIMES)
    )
    lengths = histories[c.ITEMS].list.len().to_numpy().astype(np.int64)
    if method == "leave-last-out":
        train, valid = leave_last_out(lengths)
    else:
        user = np.repeat(np.arange(len(lengths)), lengths)
        train, valid = global_time(user, log[TIME].cast(pl.Float64).to_numpy(), valid_share, test_share)
    return histories.with_columns(pl.Series(c.TRAIN_END, train, dtype=pl.Int32), pl.Series(c.VALID_END, valid, dtype=pl.Int32))
