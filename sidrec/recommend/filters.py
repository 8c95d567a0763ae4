"""Which items a request may be given: a mask for all requests and an exclusion list for each, as one joint count.

A node is alive for a request when at least one item below it is eligible and not excluded. Both conditions are counted
together: a node whose mask is satisfied by one item and whose exclusions miss another would pass two separate tests and
still be a dead end (measured elsewhere: 44 % of the beams).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.recommend.trie import Trie


@dataclass(frozen=True, slots=True)
class Alive:
    """The joint count of a batch of requests.

    ``sums`` is ``Trie.alive`` of the mask, ``None`` where every item is eligible. ``rows`` and ``positions`` (int64
    ``(E,)``) are the exclusions: request and leaf position, sorted, each once, and only of eligible items.
    """

    trie: Trie
    requests: int
    sums: NDArray[np.int32] | None
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]

    @classmethod
    def of(cls, trie: Trie, requests: int, sums: NDArray[np.int32] | None, exclude: Sequence[Sequence[int]] | None) -> Alive:
        """``exclude`` holds item indices, one list a request, in any order and repeated or not.

        Raises:
            DataError: an excluded item is not in the catalogue.
        """
        lists = exclude or [()] * requests
        items = np.fromiter((item for row in lists for item in row), dtype=np.int64)
        rows = np.repeat(np.arange(requests), [len(row) for row in lists])
        if items.size and (items.min() < 0 or items.max() >= trie.n_items):
            bad = int(np.flatnonzero((items < 0) | (items >= trie.n_items))[0])
            raise DataError(
                f"request {rows[bad]} excludes item {items[bad]}, which is not in the catalogue of {trie.n_items} items"
            )
        if not items.size:
            return cls(trie, requests, sums, items, items)
        positions = trie.position_of_item[items].astype(np.int64)
        if sums is not None:
            wanted = sums[positions + 1] > sums[positions]
            rows, positions = rows[wanted], positions[wanted]
        keys = np.unique(rows * trie.n_items + positions)
        return cls(trie, requests, sums, keys // trie.n_items, keys % trie.n_items)

    def totals(self) -> NDArray[np.int64]:
        """int64 ``(requests,)``: how many items each request may be given."""
        everything = self.trie.n_items if self.sums is None else int(self.sums[-1])
        return everything - np.bincount(self.rows, minlength=self.requests).astype(np.int64)

    def counts(self, depth: int, rows: NDArray[np.int64], nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Eligible and not excluded items below ``nodes`` of ``depth`` for requests ``rows`` (same shapes)."""
        keys, taken = self._excluded(depth)
        below = self._eligible(depth, nodes)
        if not keys.size:
            return below
        wanted = rows * self.trie.width(depth) + nodes
        at = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        return below - np.where(keys[at] == wanted, taken[at], 0)

    def emptied(self, depth: int) -> NDArray[np.int64]:
        """Keys ``request * width(depth) + node``, sorted, of nodes that the exclusions leave without any item.

        Few: a node near the root is never emptied by a purchase history, so the search mostly compares with nothing.
        """
        keys, taken = self._excluded(depth)
        return keys[self._eligible(depth, keys % self.trie.width(depth)) == taken] if keys.size else keys

    def _eligible(self, depth: int, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        low, high = self.trie.leaf_range(depth, nodes)
        below = high - low if self.sums is None else self.sums[high] - self.sums[low]
        return np.asarray(below, dtype=np.int64)

    def _excluded(self, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sorted keys of the nodes above exclusions, and how many exclusions lie below each."""
        keys = self.rows * self.trie.width(depth) + self.trie.nodes_above(depth, self.positions)
        first = np.flatnonzero(np.diff(keys, prepend=-1))  # keys are sorted already: positions are, within a request
        return keys[first], np.diff(first, append=keys.size)
