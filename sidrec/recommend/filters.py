"""Which items each request may be given: its mask and its exclusion list as one joint count.

A node is alive for a request when at least one item below it is eligible and not excluded. Both conditions are counted
together: a node whose mask is satisfied by one item and whose exclusions miss another would pass two separate tests and
still be a dead end (measured elsewhere: 44 % of the beams).
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.recommend.trie import Trie
from sidrec.types import Request

_NONE = np.empty(0, dtype=np.int64)


class MaskCounts:
    """``Trie.alive`` of the masks met last, so that a server counts its "in stock" once and not with every request.

    A count is kept only for an array that nobody can write to (``mask.setflags(write=False)``), while the array lives: another
    one may have changed since. Used by several threads at once.
    """

    def __init__(self, trie: Trie, most: int = 32) -> None:
        """``most``: how many counts are kept; each takes 4 bytes an item."""
        self._trie, self._most = trie, most
        self._kept: OrderedDict[int, tuple[weakref.ref[NDArray[np.bool_]], NDArray[np.int32]]] = OrderedDict()
        self._lock = Lock()

    def of(self, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Prefix sums int32 ``(N + 1,)`` of one mask."""
        with self._lock:
            found = self._kept.get(id(mask))
            if found is not None and found[0]() is mask and _frozen(mask):
                self._kept.move_to_end(id(mask))
                return found[1]
        sums = self._trie.alive(mask)
        if _frozen(mask):
            with self._lock:
                self._kept[id(mask)] = weakref.ref(mask), sums
                self._kept.move_to_end(id(mask))
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return sums


def _frozen(array: NDArray[np.bool_]) -> bool:
    """Whether the array and all that it is a view of are read-only."""
    while array.base is not None and isinstance(array.base, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array.base is None and not array.flags.writeable


@dataclass(frozen=True, slots=True)
class Alive:
    """The joint count of a batch of requests.

    ``sums`` are the prefix sums (``Trie.alive``) of the distinct masks, ``group`` int64 ``(B,)`` says which one a request has;
    both are empty where no request has a mask. ``rows`` and ``positions`` (int64 ``(E,)``) are the exclusions: request and
    leaf position, sorted, each once, and only of eligible items.
    """

    trie: Trie
    requests: int
    sums: tuple[NDArray[np.int32], ...]
    group: NDArray[np.int64]
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        trie: Trie,
        requests: Sequence[Request],
        counts: MaskCounts | None = None,
        numbers: Sequence[int] | None = None,
    ) -> Alive:
        """``exclude`` of a request holds item indices, in any order and repeated or not.

        ``numbers``: what the caller calls the requests, for the error; default their places here.

        Raises:
            DataError: an excluded item is not in the catalogue, or a mask is not one boolean an item.
        """
        sums, group = _groups(trie, requests, counts or MaskCounts(trie))
        lists = [np.asarray(request.exclude, dtype=np.int64) for request in requests]
        items = np.concatenate(lists) if lists else _NONE
        if not items.size:
            return cls(trie, len(requests), sums, group, _NONE, _NONE)
        rows = np.repeat(np.arange(len(requests)), [row.size for row in lists])
        if items.min() < 0 or items.max() >= trie.n_items:
            bad = int(np.flatnonzero((items < 0) | (items >= trie.n_items))[0])
            number = rows[bad] if numbers is None else numbers[rows[bad]]
            raise DataError(
                f"request {number} excludes item {items[bad]}, which is not in the catalogue of {trie.n_items} items"
            )
        keys = np.unique(rows * trie.n_items + trie.position_of_item[items])
        rows = np.zeros_like(keys) if len(requests) == 1 else keys // trie.n_items
        made = cls(trie, len(requests), sums, group, rows, keys - rows * trie.n_items)
        if not sums:
            return made
        wanted = made._eligible(rows, made.positions, made.positions + 1) > 0
        return cls(trie, len(requests), sums, group, rows[wanted], made.positions[wanted])

    def totals(self) -> NDArray[np.int64]:
        """int64 ``(B,)``: how many items each request may be given."""
        each = [int(sums[-1]) for sums in self.sums]
        totals = np.asarray(each)[self.group] if each else np.full(self.requests, self.trie.n_items)
        return totals - np.bincount(self.rows, minlength=self.requests)

    def counts(self, depth: int, rows: NDArray[np.int64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Eligible and not excluded items below ``nodes`` of ``depth`` for requests ``rows`` (same shapes)."""
        low, high = self.trie.leaf_range(depth, nodes)
        below = self._eligible(rows, low, high)
        if not self.rows.size:
            return below
        keys, start = self.rows * self.trie.n_items + self.positions, rows * self.trie.n_items
        left: NDArray[np.int64] = below - (np.searchsorted(keys, start + high) - np.searchsorted(keys, start + low))
        return left

    def emptied(self, depth: int) -> NDArray[np.int64]:
        """Keys ``request * width(depth) + node``, sorted, of nodes that the exclusions leave without any item.

        Few: a node near the root is never emptied by a purchase history, so the search mostly compares with nothing.
        """
        if not self.rows.size or depth == self.trie.depth:
            return self.rows * self.trie.n_items + self.positions
        nodes = self.trie.nodes_above(depth, self.positions)
        empty = self.counts(depth, self.rows, nodes) == 0
        return np.unique(self.rows[empty] * self.trie.width(depth) + nodes[empty]) if empty.any() else _NONE

    def _eligible(self, rows: NDArray[np.int64], low: NDArray[np.integer], high: NDArray[np.integer]) -> NDArray[np.int64]:
        """Items that the masks of requests ``rows`` leave between leaf positions."""
        if len(self.sums) < 2:
            return np.asarray(self.sums[0][high] - self.sums[0][low] if self.sums else high - low, dtype=np.int64)
        below: NDArray[np.int64] = np.zeros(low.shape, dtype=np.int64)
        for number, sums in enumerate(self.sums):
            own = self.group[rows] == number
            below[own] = sums[high[own]] - sums[low[own]]
        return below


def _groups(
    trie: Trie, requests: Sequence[Request], counts: MaskCounts
) -> tuple[tuple[NDArray[np.int32], ...], NDArray[np.int64]]:
    """The distinct masks' prefix sums, and which of them each request has; all items are a mask beside others."""
    masks: dict[int, NDArray[np.bool_] | None] = {id(request.eligible): request.eligible for request in requests}
    if set(masks) <= {id(None)}:
        return (), np.empty(0, dtype=np.int64)
    number = {key: at for at, key in enumerate(masks)}
    sums = tuple(np.arange(trie.n_items + 1, dtype=np.int32) if mask is None else counts.of(mask) for mask in masks.values())
    return sums, np.asarray([number[id(request.eligible)] for request in requests], dtype=np.int64)
