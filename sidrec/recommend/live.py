"""The joint count of filters on the model's device: which nodes still have an eligible item below them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.recommend.choice import DEAD
from sidrec.recommend.filters import Alive


@dataclass(frozen=True, slots=True)
class LiveNodes:
    """``Alive`` of one batch beside the trie's ``leaves``, for look-ups a level.

    ``sums`` are the prefix sums of all distinct masks behind each other; those of request b start at ``start[b]``.
    """

    alive: Alive
    leaves: tuple[Tensor, ...]
    sums: Tensor | None
    start: Tensor | None

    @classmethod
    def of(cls, alive: Alive, leaves: tuple[Tensor, ...], device: torch.device) -> LiveNodes:
        """Copies the counts to ``device``; on the CPU a single mask's are used where they are."""
        if not alive.sums:
            return cls(alive, leaves, None, None)
        with warnings.catch_warnings():  # as in Search: nobody writes to these
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            parts = [torch.from_numpy(sums).to(device) for sums in alive.sums]
        if len(parts) == 1:
            return cls(alive, leaves, parts[0], None)
        start = torch.from_numpy(alive.group).to(device)[:, None, None] * (alive.trie.n_items + 1)
        return cls(alive, leaves, torch.cat(parts), start)

    def close(self, depth: int, total: Tensor, first: NDArray[np.int64], count: NDArray[np.int64]) -> None:
        """Give each candidate without an eligible item below it the score ``-inf``, in place.

        ``total (B, W, M)`` are the scores of the nodes of ``depth`` from ``first (B, W)`` on, of which ``count`` are real.
        """
        if self.sums is not None:
            total.masked_fill_(self._masked(depth, total, first), DEAD)
        keys = self.alive.emptied(depth)
        if keys.size:  # few: each is looked for among the beams, not each candidate among them
            row, beam = count.nonzero()
            starts, own = row * self.alive.trie.width(depth) + first[row, beam], count[row, beam]
            order = np.argsort(starts)
            at = order[np.maximum(np.searchsorted(starts[order], keys, side="right") - 1, 0)]
            offset = keys - starts[at]
            hit = (offset >= 0) & (offset < own[at])
            places = (row[at][hit], beam[at][hit], offset[hit])
            total[tuple(torch.from_numpy(place).to(total.device) for place in places)] = DEAD

    def _masked(self, depth: int, total: Tensor, first: NDArray[np.int64]) -> Tensor:
        """bool ``(B, W, M)``: whether the mask leaves no item below."""
        assert self.sums is not None
        width, is_item = self.alive.trie.width(depth), depth == self.alive.trie.depth
        begin = torch.from_numpy(first).to(total.device)[..., None]
        if self.start is None and total.numel() > width:  # cheaper once for each node of the depth
            at_bounds = self.sums if is_item else self.sums[self.leaves[depth]]
            node = (begin + torch.arange(total.shape[2], device=total.device)).clamp_(max=width - 1)
            return (at_bounds[1:] <= at_bounds[:-1])[node]
        edge = (begin + torch.arange(total.shape[2] + 1, device=total.device)).clamp_(max=width)
        if not is_item:
            edge = self.leaves[depth][edge]
        found = self.sums[edge if self.start is None else edge + self.start]
        return found[..., 1:] <= found[..., :-1]
