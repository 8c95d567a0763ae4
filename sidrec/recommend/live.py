"""The joint count of filters on the model's device: which nodes still have an eligible item below them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

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

    def of_nodes(self, depth: int, node: Tensor) -> Tensor | None:
        """bool, same shape: whether an eligible and not excluded item is below ``node (B, W, M)``; ``None``: all are."""
        found: Tensor | None = None
        if self.sums is not None:
            is_item = depth == self.alive.trie.depth
            if self.start is None and node.numel() > self.alive.trie.width(depth):  # cheaper once for each node of the depth
                at_bounds = self.sums if is_item else self.sums[self.leaves[depth]]
                found = (at_bounds[1:] > at_bounds[:-1])[node]
            else:
                low, high = (node, node + 1) if is_item else (self.leaves[depth][node], self.leaves[depth][node + 1])
                if self.start is not None:
                    low, high = low + self.start, high + self.start
                found = self.sums[high] > self.sums[low]
        emptied = self.alive.emptied(depth)
        if emptied.size:
            keys = torch.from_numpy(emptied).to(node.device)
            wanted = node + torch.arange(len(node), device=node.device)[:, None, None] * self.alive.trie.width(depth)
            at = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
            missed = keys[at] != wanted
            found = missed if found is None else found & missed
        return found
