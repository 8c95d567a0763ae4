"""From all clean purchases to those that are learned from: the k-core, the caps, and why each row went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.config import IngestConfig
from sidrec.errors import DataError
from sidrec.ingest.core import BY_ITEM, BY_USER, k_core
from sidrec.ingest.draw import place
from sidrec.ingest.raw import TIME
from sidrec.ingest.rows import AT, Kind, dropped_rows, join_dropped

_USER, _ITEM = "__user__", "__item__"
_LEFT = "__left__"
Sources = tuple[str, str]  # names of the items' and the interactions' file


@dataclass(frozen=True, slots=True)
class Kept:
    """``items`` in the order of the file; ``log``: ``user_id, item_index (int32), TIME``, by user, then time.

    Purchases of one user at one time stay in the order of the file.
    """

    items: pl.DataFrame
    log: pl.DataFrame
    dropped: pl.DataFrame


@dataclass(slots=True)
class _State:
    """Who is still in, and why the others are not. ``M`` purchases, ``U`` users, ``N`` items."""

    user_M: NDArray[np.int32]
    item_M: NDArray[np.int32]
    alive_M: NDArray[np.bool_]
    users_U: NDArray[np.bool_]
    items_N: NDArray[np.bool_]


def keep(items: pl.DataFrame, log: pl.DataFrame, config: IngestConfig, seed: int, sources: Sources) -> Kept:
    """Apply, in this order: ``max_items``, the k-core, ``max_users``, ``max_history``.

    The two last ones sample and shorten for quick trials; what they leave is not cut down to a k-core again.

    Args:
        items: clean items with ``item_id`` and ``AT``.
        log: clean purchases of those items with ``user_id, item_id, TIME, AT``.
        sources: the names of the two files.

    Raises:
        DataError: no user or no item is left; says which rule removed them.
    """
    users = log[c.USER_ID].unique().sort()
    log = _with_codes(log, items, users)
    state = _State(
        log[_USER].to_numpy().astype(np.int32),
        log[_ITEM].to_numpy().astype(np.int32),
        np.ones(log.height, dtype=np.bool_),
        np.ones(len(users), dtype=np.bool_),
        np.ones(items.height, dtype=np.bool_),
    )
    dropped: list[pl.DataFrame] = []
    if 0 < config.max_items < items.height:
        dropped += _cap_items(state, items, log, config.max_items, sources)
    dropped += _core(state, items, log, users, config, sources)
    if 0 < config.max_users < state.users_U.sum():
        dropped += _cap_users(state, log, users, config.max_users, seed, sources)
    rows, early = _cap_histories(state, log, _by_time(state, log), config.max_history, sources)
    return Kept(items.filter(state.items_N), _kept_log(state, log, rows), join_dropped([*dropped, *early]))


def _with_codes(log: pl.DataFrame, items: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    user_codes = pl.DataFrame({c.USER_ID: users}).with_row_index(_USER)
    item_codes = items.select(c.ITEM_ID).with_row_index(_ITEM)
    log = log.join(user_codes, on=c.USER_ID, how="left", maintain_order="left")
    return log.join(item_codes, on=c.ITEM_ID, how="left", maintain_order="left")


def _cap_items(state: _State, items: pl.DataFrame, log: pl.DataFrame, cap: int, sources: Sources) -> list[pl.DataFrame]:
    """The most bought items stay; of equally often bought ones those whose id comes first."""
    counts = np.bincount(state.item_M, minlength=items.height)
    order = items.select(pl.Series("n", counts), c.ITEM_ID).with_row_index().sort(["n", c.ITEM_ID], descending=[True, False])
    stays = np.zeros(items.height, dtype=np.bool_)
    stays[order["index"].to_numpy()[:cap]] = True
    gone = ~stays[state.item_M]
    state.items_N, state.alive_M = stays, ~gone
    counted = items.with_columns(pl.Series(_LEFT, counts)).filter(~stays)
    return [
        _rows(counted, "item", "max_items", sources[0], c.ITEM_ID, pl.format("bought {} times", _LEFT)),
        _rows(log.filter(gone), "interaction", "max_items", sources[1], c.ITEM_ID, pl.format("user {}", c.USER_ID)),
    ]


def _cap_users(state: _State, log: pl.DataFrame, users: pl.Series, cap: int, seed: int, sources: Sources) -> list[pl.DataFrame]:
    """Drawn by a hash of the user's id, so that the order of the file has no say."""
    left = np.flatnonzero(state.users_U)
    draw = left[np.argsort(place(seed, users.gather(left).to_list(), "user:"), kind="stable")]
    stays = np.zeros(len(users), dtype=np.bool_)
    stays[draw[:cap]] = True
    lost = state.users_U & ~stays
    gone = state.alive_M & lost[state.user_M]
    state.users_U, state.alive_M = stays, state.alive_M & ~gone
    return [
        _rows(pl.DataFrame({c.USER_ID: users}).filter(lost), "user", "max_users", "", c.USER_ID, pl.lit("not drawn")),
        _rows(log.filter(gone), "interaction", "max_users", sources[1], c.USER_ID, pl.format("item {}", c.ITEM_ID)),
    ]


def _core(
    state: _State, items: pl.DataFrame, log: pl.DataFrame, users: pl.Series, config: IngestConfig, sources: Sources
) -> list[pl.DataFrame]:
    longest = int(np.bincount(state.user_M[state.alive_M], minlength=1).max())
    before_users, before_items = state.users_U, state.items_N
    core = k_core(
        state.user_M, state.item_M, state.alive_M, state.users_U, state.items_N, config.user_core, config.item_core
    )  # fmt: skip
    state.alive_M = state.alive_M & (core.removed_by == 0)
    state.users_U, state.items_N = core.users, core.items
    lost_users, lost_items = before_users & ~core.users, before_items & ~core.items
    if not core.users.any() or not core.items.any():
        raise DataError(_nobody(config, (lost_users, before_users), (lost_items, before_items), longest))
    log = log.with_columns(pl.Series(_LEFT, core.left))
    user_rows = pl.DataFrame({c.USER_ID: users, _LEFT: core.user_left}).filter(lost_users)
    item_rows = items.with_columns(pl.Series(_LEFT, core.item_left)).filter(lost_items)
    of_user = pl.format(f"{{}} left, user_core = {config.user_core}; item {{}}", _LEFT, c.ITEM_ID)
    of_item = pl.format(f"{{}} left, item_core = {config.item_core}; user {{}}", _LEFT, c.USER_ID)
    return [
        _rows(item_rows, "item", "item_core", sources[0], c.ITEM_ID, pl.format("bought {} times", _LEFT)),
        _rows(user_rows, "user", "user_core", "", c.USER_ID, pl.format("{} purchases left", _LEFT)),
        _rows(log.filter(core.removed_by == BY_USER), "interaction", "user_core", sources[1], c.USER_ID, of_user),
        _rows(log.filter(core.removed_by == BY_ITEM), "interaction", "item_core", sources[1], c.ITEM_ID, of_item),
    ]


def _nobody(
    config: IngestConfig,
    users: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    items: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    longest: int,
) -> str:
    what = f"user_core = {config.user_core} removed {users[0].sum()} of {users[1].sum()}"
    advice = "lower ingest.user_core"
    if config.item_core:
        what += f", item_core = {config.item_core} removed {items[0].sum()} of {items[1].sum()} items"
        advice = "lower ingest.user_core or ingest.item_core"
    if config.max_users or config.max_items:
        advice += ", or raise ingest.max_users and ingest.max_items"
    return f"0 users are left: {what}; longest history has {longest}; {advice}"


def _cap_histories(
    state: _State, log: pl.DataFrame, rows: NDArray[np.int64], cap: int, sources: Sources
) -> tuple[NDArray[np.int64], list[pl.DataFrame]]:
    """Keep the latest ``cap`` purchases of each user; ``rows``: see ``_by_time``."""
    user = state.user_M[rows]
    early = np.searchsorted(user, user, side="right") - np.arange(len(rows)) > cap
    gone = log[np.sort(rows[early])]
    detail = pl.format("item {}", c.ITEM_ID)
    return rows[~early], [_rows(gone, "interaction", "history_cap", sources[1], c.USER_ID, detail)]


def _by_time(state: _State, log: pl.DataFrame) -> NDArray[np.int64]:
    """Rows still in, by user, then time, then place in the file."""
    rows = np.flatnonzero(state.alive_M)
    order: NDArray[np.int64] = np.lexsort((log[TIME].to_numpy()[rows], state.user_M[rows]))  # stable
    return np.asarray(rows[order], dtype=np.int64)


def _kept_log(state: _State, log: pl.DataFrame, rows: NDArray[np.int64]) -> pl.DataFrame:
    index = np.cumsum(state.items_N) - 1  # the place of an item among those that stay
    items = pl.Series(c.ITEM_INDEX, index[state.item_M[rows]].astype(np.int32))
    return log[rows].select(c.USER_ID, items, TIME)


def _rows(frame: pl.DataFrame, kind: Kind, reason: str, source: str, key: str, detail: pl.Expr) -> pl.DataFrame:
    return dropped_rows(frame.sort(AT) if AT in frame.columns else frame, kind, reason, source, pl.col(key), detail)
