"""Histories as flat arrays: every behaviour task is a few array operations on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.types import Part

NONE = -1  # fills rows up to one width


@dataclass(frozen=True, slots=True)
class Purchases:
    """What one part of the split may show: P purchases, user after user, oldest first.

    ``items`` int32 ``(P,)``; ``places`` int32 ``(P,)``, the place in the user's history from 0; ``targets`` int64 ``(T,)``,
    the positions that may be asked for. In training that is every purchase with one before it. In validation and test it
    is the user's first purchase of that part, which is also the last one held here: nothing later can be shown.
    """

    part: Part
    items: NDArray[np.int32]
    places: NDArray[np.int32]
    targets: NDArray[np.int64]

    @classmethod
    def of(cls, histories: pl.DataFrame, part: Part) -> Purchases:
        """From ``HISTORY_SCHEMA``. Users with nothing to learn or to ask for are left out."""
        length, train_end, valid_end = pl.col(c.ITEMS).list.len().cast(pl.Int32), pl.col(c.TRAIN_END), pl.col(c.VALID_END)
        if part == "train":
            end, useful = train_end, train_end >= 1
        elif part == "valid":
            end, useful = train_end + 1, (train_end >= 1) & (train_end < valid_end)
        else:
            end, useful = valid_end + 1, (valid_end >= 1) & (valid_end < length)
        kept = histories.filter(useful).select(pl.col(c.ITEMS).list.head(end))[c.ITEMS]
        lengths = kept.list.len().to_numpy().astype(np.int64)
        ends = np.cumsum(lengths)
        places = (np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)).astype(np.int32)
        items = kept.explode().to_numpy().astype(np.int32)
        targets = np.flatnonzero(places >= 1) if part == "train" else ends - 1
        return cls(part, items, places, targets.astype(np.int64))

    def before(self, count: int) -> NDArray[np.int32]:
        """int32 ``(T, count)``: the ``count`` purchases before each target, oldest first, ``NONE`` where there are fewer."""
        back = np.arange(count, 0, -1)
        known = self.places[self.targets][:, None] >= back
        positions = np.where(known, self.targets[:, None] - back, 0)
        return np.where(known, self.items[positions], NONE).astype(np.int32)

    def asked(self) -> NDArray[np.int32]:
        """int32 ``(T,)``: the items of the targets."""
        return self.items[self.targets]

    def sequences(self, count: int) -> NDArray[np.int32]:
        """int32 ``(T, count + 1)``: up to ``count`` purchases, then the target."""
        return np.column_stack((self.before(count), self.asked()))

    def pairs(self, window: int) -> NDArray[np.int32]:
        """int32 ``(M, 2)``: earlier and later item, at most ``window`` places apart, the later one a target.

        An item bought again is no pair: "bought with itself" tells nothing, and a request leaves the item out.
        """
        earlier = self.before(window)[:, ::-1]  # the nearest first
        later = np.broadcast_to(self.asked()[:, None], earlier.shape)
        kept = (earlier != NONE) & (earlier != later)
        return np.column_stack((earlier[kept], later[kept]))

    def baskets(self, size: int) -> NDArray[np.int32]:
        """int32 ``(M, size)``: 3 to ``size`` purchases in a row that end at a target, all different, ``NONE`` in front."""
        rows = self.sequences(size - 1)
        ordered = np.sort(rows, axis=1)
        repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NONE)).any(axis=1)
        kept: NDArray[np.bool_] = ~repeated & ((rows != NONE).sum(axis=1) >= 3)
        return rows[kept]

    def windows(self, shown: int) -> NDArray[np.int32]:
        """int32 ``(M, shown + 1)``: histories for ``purchase_history``, ``NONE`` behind.

        In training: whole histories of two purchases and more, cut by ``window_starts``. Elsewhere: the target and the
        ``shown`` purchases before it.
        """
        width = shown + 1
        if self.part != "train":
            rows = self.sequences(shown)
            order = np.argsort(rows == NONE, axis=1, kind="stable")  # NONE from the front to the back
            return np.take_along_axis(rows, order, axis=1)
        begins = np.flatnonzero(self.places == 0)
        lengths = np.diff(np.append(begins, len(self.items)))
        starts: list[int] = []
        sizes: list[int] = []
        for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True):
            if length >= 2:
                cut = window_starts(length, shown)
                starts += [begin + start for start in cut]
                sizes += [min(length, width)] * len(cut)
        inside = np.arange(width) < np.asarray(sizes, dtype=np.int64).reshape(-1, 1)
        positions = np.asarray(starts, dtype=np.int64).reshape(-1, 1) + np.arange(width)
        return np.where(inside, self.items[np.where(inside, positions, 0)], NONE).astype(np.int32)


def window_starts(length: int, shown: int) -> list[int]:
    """Where the windows of ``shown + 1`` purchases begin: every half window, the last one flush with the end.

    Each window is a plain conversation: nothing is masked. So every purchase after the first is learned at least once
    with at least ``min(its place, shown + 1 - stride)`` purchases before it, where the stride is half of ``shown``. The
    price: purchases in an overlap are learned more than once. A history that fits costs nothing; a very long one about
    twice its tokens; Beauty as a whole 16 % more tokens at 20 shown, 32 % at 10.

    >>> window_starts(21, shown=20), window_starts(22, shown=20), window_starts(45, shown=20)
    ([0], [0, 1], [0, 10, 20, 24])
    """
    last = length - (shown + 1)
    return [*range(0, last, max(1, shown // 2)), last] if last > 0 else [0]
