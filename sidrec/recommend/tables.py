"""The catalogue on the device, in arrays whose size and address outlive it.

A CUDA graph reads the addresses it was recorded with. So the trie's arrays lie in buffers with room to spare, made once;
another catalogue is copied into them between two batches (10 MB for 1 M items), and the recorded graphs go on. Only a
catalogue that outgrows the room needs new buffers and new graphs.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.recommend.trie import Trie

_HEADROOM = 1.25
_STEP = 8  # most children are rounded up to a multiple


@dataclass(frozen=True, slots=True)
class Tables:
    """A trie as the static search reads it. Everything is counted in leaf positions: position p holds item ``items[p]``.

    ``children[d]`` are the bounds of the children of the nodes of depth d, ``codes[d]`` the codes of those children, and
    ``bounds[d]`` the leaf positions at which they begin. At the last level the children are the leaf positions
    themselves, so that items of one semantic ID stand beside each other like codes; ``fresh`` is true for the first of them.
    ``ranks`` is the place of a position's item among items of equal score, ``position`` its inverse. ``widest[d]``: the
    most children of any node of depth d.
    """

    trie: Trie
    children: tuple[Tensor, ...]
    bounds: tuple[Tensor, ...]
    codes: tuple[Tensor, ...]
    fresh: Tensor
    ranks: Tensor
    position: Tensor
    widest: tuple[int, ...]

    @classmethod
    def of(cls, trie: Trie, device: torch.device) -> Tables:
        """Copies of the trie's arrays on ``device``."""
        last = trie.levels - 1
        children, codes = [*trie.children[:last], trie.leaves[last]], list(trie.codes)
        fresh = np.ones(trie.n_items, dtype=np.bool_)
        if trie.depth > trie.levels:
            fresh[:] = False
            fresh[trie.leaves[trie.levels][:-1]] = True
            codes[last] = np.repeat(codes[last], np.diff(trie.leaves[trie.levels]))
        position = np.empty(trie.n_items, dtype=np.int32)
        position[trie.ranks] = np.arange(trie.n_items, dtype=np.int32)
        widest = tuple(int(np.diff(bounds).max(initial=1)) for bounds in children)

        def there(array: NDArray[np.generic]) -> Tensor:
            return _tensor(array).to(device)

        return cls(
            trie,
            tuple(map(there, children)),
            tuple(there(trie.leaves[depth]) for depth in range(1, trie.levels)),
            tuple(map(there, codes)),
            there(fresh),
            there(trie.ranks),
            there(position),
            widest,
        )

    def arrays(self) -> tuple[Tensor, ...]:
        """All of them, always in the same order."""
        return (*self.children, *self.bounds, *self.codes, self.fresh, self.ranks, self.position)


class Resident:
    """The buffers: one catalogue at a time, and the prefix sums of the masks met last.

    ``masks`` int32 ``(F, capacity + 1)``: row 0 is of all items. Behind a catalogue's last item the sums stay as they are.
    """

    def __init__(self, tables: Tables, masks: int, device: torch.device) -> None:
        """``masks``: how many distinct ones a batch may have."""
        self.capacity = _roomy(tables.trie.n_items)
        self.widest = tuple(-(-most // _STEP) * _STEP for most in tables.widest)
        self._levels = tables.trie.levels
        self._buffers = [torch.zeros(_roomy(len(array)), dtype=array.dtype, device=device) for array in tables.arrays()]
        self._every = torch.arange(self.capacity + 1, dtype=torch.int32, device=device)
        self.masks = torch.zeros((1 + masks, self.capacity + 1), dtype=torch.int32, device=device)
        # By the array's id; the array too, so that its id stays its own.
        self._slots: OrderedDict[int, tuple[int, NDArray[np.int32]]] = OrderedDict()
        self._held: Tables | None = None
        self.load(tables)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return sum(buffer.numel() * buffer.element_size() for buffer in (*self._buffers, self._every, self.masks))

    def fits(self, tables: Tables) -> bool:
        """Whether a catalogue finds room."""
        same = [
            len(array) <= len(buffer) and array.dtype == buffer.dtype
            for array, buffer in zip(tables.arrays(), self._buffers, strict=True)
        ]
        return all(same) and all(most <= room for most, room in zip(tables.widest, self.widest, strict=True))

    def load(self, tables: Tables) -> None:
        """Make ``tables`` the catalogue that is searched, unless it is already."""
        if tables is self._held:
            return
        for array, buffer in zip(tables.arrays(), self._buffers, strict=True):
            buffer[: len(array)].copy_(array)
        torch.clamp(self._every, max=tables.trie.n_items, out=self.masks[0])
        self._slots.clear()
        self._held = tables

    def tables(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor, ...], Tensor, Tensor, Tensor]:
        """``children``, ``bounds``, ``codes``, ``fresh``, ``ranks``, ``position``: the buffers, whole."""
        ends = np.cumsum([0, self._levels, self._levels - 1, self._levels]).tolist()
        children, bounds, codes = (tuple(self._buffers[start:stop]) for start, stop in pairwise(ends))
        fresh, ranks, position = self._buffers[ends[-1] :]
        return children, bounds, codes, fresh, ranks, position

    def slots(self, sums: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
        """The row of ``masks`` of each of a batch's prefix sums ``(N + 1,)``, which are copied there unless they are."""
        found = np.zeros(len(sums), dtype=np.int32)
        wanted = {id(one) for one in sums}
        for number, one in enumerate(sums):
            if int(one[-1]) == len(one) - 1:
                continue  # every item: row 0
            if id(one) not in self._slots:
                self._slots[id(one)] = self._free(wanted), one
                row = self.masks[self._slots[id(one)][0]]
                row[: len(one)].copy_(_tensor(one), non_blocking=True)
                row[len(one) :].fill_(int(one[-1]))
            self._slots.move_to_end(id(one))
            found[number] = self._slots[id(one)][0]
        return found

    def _free(self, wanted: set[int]) -> int:
        """A row that no mask of this batch has: one never used, or that of the mask not asked for the longest."""
        if len(self._slots) < len(self.masks) - 1:
            return 1 + len(self._slots)
        oldest = next(key for key in self._slots if key not in wanted)
        return self._slots.pop(oldest)[0]


def _tensor(array: NDArray[np.generic]) -> Tensor:
    with warnings.catch_warnings():  # torch has no read-only tensors and says so; nobody writes to these
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _roomy(count: int) -> int:
    return max(64, int(count * _HEADROOM))
