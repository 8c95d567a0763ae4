"""The beams of a batch: where each stands in the trie, what it scored, and which of its codes the model has read.

They are few and small, so they live in numpy on the host, whose operations take a fifth of torch's overhead; only what
is as large as the candidates lives on the model's device.

Shapes: B requests, W beams, d levels chosen so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.recommend.branches import Branches
from sidrec.recommend.choice import DEAD
from sidrec.recommend.trie import Trie


@dataclass(frozen=True, slots=True)
class Paths:
    """``node`` int64 and ``score`` float32 ``(B, W)``; log-probability, token and cache slot of each code ``(B, W, d)``.

    A dead place has the score ``-inf``. The slot is -1 while the model has not read the code.
    """

    node: NDArray[np.int64]
    score: NDArray[np.float32]
    steps: NDArray[np.float32]
    token: NDArray[np.int64]
    slot: NDArray[np.int64]

    @classmethod
    def root(cls, batch: int) -> Paths:
        node, score = np.zeros((batch, 1), dtype=np.int64), np.zeros((batch, 1), dtype=np.float32)
        none = np.zeros((batch, 1, 0), dtype=np.int64)
        return cls(node, score, none.astype(np.float32), none, none)

    def children(self, trie: Trie, level: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first child of each beam and how many it has, int64 ``(B, W)``; a dead one has none."""
        bounds = trie.children[level]
        first = bounds[self.node].astype(np.int64)
        return first, np.where(self.score > DEAD, bounds[self.node + 1] - first, 0)

    def step(
        self,
        parent: NDArray[np.int64],
        node: NDArray[np.int64],
        score: NDArray[np.float32],
        step: NDArray[np.float32],
        token: NDArray[np.int64] | None,
    ) -> Paths:
        """The chosen children, all ``(B, W')``; ``parent`` is a place among these beams. No ``token`` adds no code."""
        row = np.arange(len(node))[:, None]
        node = np.where(score > DEAD, node, 0)
        steps, tokens, slots = self.steps[row, parent], self.token[row, parent], self.slot[row, parent]
        if token is not None:
            steps = np.concatenate((steps, step[..., None]), axis=2)
            tokens = np.concatenate((tokens, token[..., None]), axis=2)
            slots = np.concatenate((slots, np.full((*node.shape, 1), -1)), axis=2)
        return Paths(node, score, steps, tokens, slots)

    def read(self, branches: Branches, asked: NDArray[np.bool_]) -> Tensor:
        """Let the model read what it has not yet of the beams ``asked`` (B, W); hidden states ``(asked, D)`` of their ends.

        Unread tokens of all asked beams stand behind each other in one row a request, so requests with fewer of them
        are padded; a code that was skipped as an only child is read together with the one below it. ``slot`` is
        updated in place.
        """
        batch, _, depth = self.token.shape
        unread = (asked[..., None] & (self.slot < 0)).reshape(batch, -1)
        column = unread.cumsum(1) - 1
        row, flat = unread.nonzero()
        at = column[row, flat]
        own = branches.used + at
        self.slot.reshape(batch, -1)[row, flat] = own
        tokens = np.zeros((batch, int(at.max()) + 1), dtype=np.int64)
        below = np.zeros_like(tokens)
        tokens[row, at] = self.token.reshape(batch, -1)[row, flat]
        level = flat % depth
        below[row, at] = level
        upwards = np.arange(depth) <= level[:, None]
        sees = np.where(upwards, self.slot[row, flat // depth], own[:, None])
        arrays = (tokens, below, row[:, None], at[:, None], sees)
        hidden = branches.append(*(torch.from_numpy(array).to(branches.device) for array in arrays))
        request, beam = asked.nonzero()
        return hidden[torch.from_numpy(request), torch.from_numpy(column[request, beam * depth + depth - 1])]
