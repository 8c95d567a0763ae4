"""The catalogue as a trie of codes in flat arrays.

Depth 0 is the root, depth ``d`` holds the distinct prefixes of ``d`` codes. All nodes of a depth stand in the order of
their codes, so the children of a node are one contiguous range, and so are the items below it. That makes three things
cheap: expanding a beam is two look-ups, counting the eligible items below any node is one subtraction of prefix sums, and
1 M items of four levels take 10 MB (nested dicts: 273 MB).

Items lie below their last code as a depth of their own, ``D``, where some share a semantic ID (``D = L + 1``); where none
do, the nodes of depth ``L`` are the items and ``D = L``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import DataError

_KEY_BITS = 63


@dataclass(frozen=True)
class Trie:
    """Compressed sparse rows, one set a level; made by ``Trie.build``, all arrays read-only.

    ``codes[d]`` are the codes of the nodes of depth ``d + 1``, for ``d`` below ``L``. Node ``i`` of depth ``d`` has the
    children ``children[d][i] : children[d][i + 1]`` (nodes of depth ``d + 1``) and the leaf positions
    ``leaves[d][i] : leaves[d][i + 1]``, for ``d`` below ``D``; a node of depth ``D`` is its own leaf position.
    ``items[p]`` is the item at leaf position ``p``, and ``ranks[p]`` its place among items of equal score: more popular
    ones first, then the lower index. Without popularity that is the index itself, and ``ranks`` is ``items``.

    >>> trie = Trie.build(np.array([[1, 0], [0, 2], [1, 3]], dtype=np.int32), (2, 4))
    >>> trie.codes[0].tolist(), trie.children[1].tolist(), trie.codes[1].tolist(), trie.items.tolist()
    ([0, 1], [0, 1, 3], [2, 0, 3], [1, 0, 2])
    """

    sizes: tuple[int, ...]
    codes: tuple[NDArray[np.integer], ...]
    children: tuple[NDArray[np.int32], ...]
    leaves: tuple[NDArray[np.int32], ...]
    items: NDArray[np.int32]
    ranks: NDArray[np.int32]

    @classmethod
    def build(cls, codes_NL: NDArray[np.int32], sizes: Sequence[int], popularity_N: NDArray[np.number] | None = None) -> Trie:
        """From int32 codes ``(N, L)`` with values below ``sizes``; any number and size of levels.

        ``popularity_N``: items of equal score, such as those that share a semantic ID, stand by falling popularity.

        Raises:
            DataError: the codes do not fit ``sizes``, or the popularity is not one number an item.
        """
        sizes = tuple(int(size) for size in sizes)
        if codes_NL.ndim != 2 or codes_NL.shape[1] != len(sizes) or not sizes:
            raise DataError(f"a trie of level sizes {sizes} needs codes of shape N x {len(sizes)}, found {codes_NL.shape}")
        n, levels = codes_NL.shape
        if n and (codes_NL.min() < 0 or (codes_NL.max(axis=0) >= np.asarray(sizes)).any()):
            raise DataError(f"codes lie outside their level sizes {sizes}")
        if popularity_N is None:
            items, columns = _sorted(codes_NL, sizes)
            ranks = items
        else:
            if popularity_N.shape != (n,) or not np.isfinite(popularity_N).all():
                raise DataError(f"popularity must be one finite number for each of {n} items, found {popularity_N.shape}")
            order = np.argsort(-popularity_N.astype(np.float64), kind="stable").astype(np.int32)
            ranks, columns = _sorted(codes_NL[order], sizes)
            items = order[ranks]
        begins = np.zeros(n, dtype=np.bool_)  # leaf positions at which a new node of this depth begins
        begins[:1] = True
        starts = np.flatnonzero(begins).astype(np.int32)
        codes: list[NDArray[np.integer]] = []
        children: list[NDArray[np.int32]] = []
        leaves: list[NDArray[np.int32]] = []
        for level, column in enumerate(columns):
            bounds = np.append(starts, np.int32(n)) if n else np.zeros(2, dtype=np.int32)
            leaves.append(bounds)
            np.logical_or(begins[1:], column[1:] != column[:-1], out=begins[1:])
            rank = np.cumsum(begins, dtype=np.int32)
            if level == levels - 1 and (not n or rank[-1] == n):
                codes.append(column.astype(_code_type(sizes[level])))
                children.append(bounds)  # leaf positions are the nodes of depth L: one array serves both
            else:
                starts = np.flatnonzero(begins).astype(np.int32)
                codes.append(column[starts].astype(_code_type(sizes[level])))
                children.append(np.append(rank[bounds[:-1]] - 1, rank[-1]) if n else np.zeros(2, dtype=np.int32))
        if len(codes[-1]) < n:
            leaves.append(np.append(starts, np.int32(n)))
            children.append(leaves[-1])
        made = cls(sizes, tuple(codes), tuple(children), tuple(leaves), items, ranks)
        for array in made.arrays():
            array.setflags(write=False)
        return made

    @property
    def levels(self) -> int:
        return len(self.sizes)

    @property
    def depth(self) -> int:
        """``D``: the depth whose nodes are the items."""
        return len(self.children)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, each counted once. The first exclusion adds 4 an item (``position_of_item``)."""
        return sum(array.nbytes for array in {id(array): array for array in self.arrays()}.values())

    def arrays(self) -> Iterator[NDArray[np.integer]]:
        """Every array; the last ``children`` and ``leaves`` are the same one."""
        yield from (*self.codes, *self.children, *self.leaves, self.items, self.ranks)

    def width(self, depth: int) -> int:
        """How many nodes a depth has."""
        if depth == 0:
            return 1
        return len(self.codes[depth - 1]) if depth <= self.levels else self.n_items

    @cached_property
    def position_of_item(self) -> NDArray[np.int32]:
        """int32 ``(N,)``: the leaf position of each item."""
        positions = np.empty(self.n_items, dtype=np.int32)
        positions[self.items] = np.arange(self.n_items, dtype=np.int32)
        positions.setflags(write=False)
        return positions

    def leaf_range(self, depth: int, nodes: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """First leaf position below each node, and the one past the last."""
        if depth == self.depth:
            return nodes, nodes + 1
        return self.leaves[depth][nodes], self.leaves[depth][nodes + 1]

    def nodes_above(self, depth: int, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """The node of ``depth`` above each leaf position."""
        if depth == self.depth:
            return positions.astype(np.int64)
        # of the bounds' own type: numpy would copy them to the wider one
        return np.searchsorted(self.leaves[depth], positions.astype(np.int32), side="right") - 1

    def alive(self, eligible: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Prefix sums int32 ``(N + 1,)`` of ``eligible`` (bool ``(N,)`` by item index) in leaf order.

        With ``S`` the result, ``S[hi] - S[lo]`` eligible items lie below a node of the leaf range ``lo : hi``.

        Raises:
            DataError: ``eligible`` is not one boolean an item.
        """
        if eligible.shape != (self.n_items,) or eligible.dtype != np.bool_:
            raise DataError(
                f"the mask of eligible items must hold {self.n_items} booleans, found {eligible.dtype} {eligible.shape}"
            )
        sums = np.zeros(self.n_items + 1, dtype=np.int32)
        np.cumsum(eligible[self.items], dtype=np.int32, out=sums[1:])
        return sums


def _code_type(size: int) -> type[np.integer]:
    # torch indexes no uint16, hence int16
    return np.uint8 if size <= 1 << 8 else np.int16 if size <= 1 << 15 else np.int32


def _sorted(codes_NL: NDArray[np.int32], sizes: tuple[int, ...]) -> tuple[NDArray[np.int32], Iterator[NDArray[np.integer]]]:
    """Items in the order of their codes, and the sorted codes, a level at a time."""
    n = len(codes_NL)
    bits = [max(size - 1, 1).bit_length() for size in sizes]
    index_bits = max(n - 1, 1).bit_length()
    if sum(bits) + index_bits > _KEY_BITS:
        items = np.lexsort(codes_NL.T[::-1]).astype(np.int32)
        return items, (codes_NL[items, level] for level in range(len(sizes)))
    # Code and item index in one integer: sorting plain integers is vectorised, four times as fast as lexsort on 1 M.
    key = np.zeros(n, dtype=np.int64)
    for level, width in enumerate(bits):
        key <<= width
        key |= codes_NL[:, level]
    key = np.sort(key << index_bits | np.arange(n))
    items = (key & ((1 << index_bits) - 1)).astype(np.int32)
    shifts = [index_bits + sum(bits[level + 1 :]) for level in range(len(sizes))]
    columns = ((key >> shift & ((1 << width) - 1)).astype(np.int32) for shift, width in zip(shifts, bits, strict=True))
    return items, columns
