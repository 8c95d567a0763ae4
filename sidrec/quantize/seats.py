"""A code for each new item that no other item has or ever had: the next free tie code of its group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import DataError

Others = Callable[[int], tuple[Sequence[int], int]]
"""By row of the new items: other codes of the last learned level, the best first, and how many of the first of them are so
near that an item moves there rather than share its learned codes with another."""


def seat(
    taken_ML: NDArray[np.int32],
    learned_NL: NDArray[np.int32],
    tie_codes: int,
    others: Others,
    item_ids: Sequence[str],
) -> NDArray[np.int32]:
    """Codes int32 ``(N, L + 1)`` of new items with the learned codes ``learned_NL``, in the order of the rows.

    ``taken_ML``, int32 ``(M, L + 1)``, are all codes ever given. A new item whose learned codes nobody has keeps them. One
    that meets others moves to the first near code that nobody has; failing that, it stays and gets the lowest tie code that
    is free; where all ``tie_codes`` of them are taken, it moves to the first of all other codes with a free one. Row by
    row: what an item gets depends on those before it alone, so items seated one by one, or many at once, sit alike.

    >>> taken = np.array([[7, 0], [7, 1]], np.int32)
    >>> seat(taken, np.array([[7], [7], [5]], np.int32), 3, lambda row: ([6], 0), ["a", "b", "c"]).tolist()
    [[7, 2], [6, 0], [5, 0]]
    >>> seat(taken, np.array([[7]], np.int32), 3, lambda row: ([6], 1), ["a"]).tolist()
    [[6, 0]]

    Raises:
        DataError: the tie codes of an item's group are full, and so are those of the other codes.
    """
    seats = np.empty((len(learned_NL), learned_NL.shape[1] + 1), dtype=np.int32)
    groups = _Groups(taken_ML, learned_NL, tie_codes)
    for row, code in enumerate(learned_NL.tolist()):
        group = tuple(code)
        if groups.empty(group):
            seats[row] = (*group, groups.take(group))
            continue
        found, near = others(row)
        candidates = [(*code[:-1], int(last)) for last in found]
        moved = next((other for other in candidates[:near] if groups.empty(other)), group)
        free = groups.take(moved)
        group = moved
        for other in candidates if free is None else ():
            group = other
            if (free := groups.take(group)) is not None:
                break
        if free is None:
            raise DataError(
                f"item {item_ids[row]!r} cannot get a code: {tie_codes} items have its codes {tuple(code)} already, and "
                "no other code of the last learned level is near enough and has a place free. The codebook no longer parts "
                "such items: fit it again (`sidrec codes drift` says more), with more codes or a larger quantize.tie_codes"
            )
        seats[row] = (*group, free)
    return seats


class _Groups:
    """The tie codes given in each group of equal learned codes, read from ``taken_ML`` as groups are asked for."""

    def __init__(self, taken_ML: NDArray[np.int32], learned_NL: NDArray[np.int32], tie_codes: int) -> None:
        self.tie_codes = tie_codes
        self._taken_ML = taken_ML
        self._used: dict[tuple[int, ...], set[int]] = {}
        self._lowest: dict[tuple[int, ...], int] = {}
        self._read(learned_NL)

    def empty(self, group: tuple[int, ...]) -> bool:
        """Whether nobody has these learned codes."""
        if group not in self._used:
            self._read(np.asarray([group], dtype=np.int32))
        return not self._used[group]

    def take(self, group: tuple[int, ...]) -> int | None:
        """The lowest free tie code, taken from now on; ``None`` where the group is full."""
        free = 0 if self.empty(group) else self._lowest.get(group, 0)
        used = self._used[group]
        while free in used:
            free += 1
        self._lowest[group] = free
        if free >= self.tie_codes:
            return None
        used.add(free)
        return free

    def _read(self, learned_NL: NDArray[np.int32]) -> None:
        self._used |= {tuple(code): set() for code in learned_NL.tolist()}
        near = self._taken_ML[np.isin(self._taken_ML[:, 0], learned_NL[:, 0])]
        for *group, tie in near.tolist():
            if (found := self._used.get(tuple(group))) is not None:
                found.add(tie)
