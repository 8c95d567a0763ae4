"""The beams of a batch: where each stands in the trie, what it scored, and which of its codes the model has read.

Shapes: B requests, W beams, M candidates a beam, d levels chosen so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sidrec.recommend.branches import Branches
from sidrec.recommend.choice import DEAD


@dataclass(frozen=True, slots=True)
class Paths:
    """``node`` and ``score`` ``(B, W)``; log-probability, token and cache slot of each code so far ``(B, W, d)``.

    The slot is -1 while the model has not read the code.
    """

    node: Tensor
    score: Tensor
    steps: Tensor
    token: Tensor
    slot: Tensor

    @classmethod
    def root(cls, batch: int, device: torch.device) -> Paths:
        none = torch.zeros(batch, 1, 0, dtype=torch.long, device=device)
        node = torch.zeros(batch, 1, dtype=torch.long, device=device)
        return cls(node, torch.zeros(batch, 1, device=device), none.float(), none, none)

    def step(self, at: Tensor, score: Tensor, child: Tensor, log_prob: Tensor, token: Tensor | None) -> Paths:
        """The beams at the candidates ``at`` (B, W'), positions in the flat ``(W * M)``; no ``token`` adds no code."""
        parent = at // child.shape[2]
        node = torch.where(score > DEAD, child.flatten(1).gather(1, at), 0)
        behind = parent[..., None].expand(-1, -1, self.token.shape[2])
        before = [x.gather(1, behind) for x in (self.steps, self.token, self.slot)]
        if token is None:
            return Paths(node, score, *before)
        chosen = token.flatten(1).gather(1, at)[..., None]
        step = log_prob.flatten(1).gather(1, at)[..., None]
        new = (step, chosen, torch.full_like(chosen, -1))
        return Paths(node, score, *(torch.cat(pair, dim=2) for pair in zip(before, new, strict=True)))

    def read(self, branches: Branches, asked: Tensor) -> Tensor:
        """Let the model read what it has not yet of the beams ``asked`` (B, W); hidden states ``(asked, D)`` of their ends.

        Unread tokens of all asked beams stand behind each other in one row a request, so requests with fewer of them
        are padded; a code that was skipped as an only child is read together with the one below it. ``slot`` is
        updated in place.
        """
        depth = self.token.shape[2]
        unread = (asked[..., None] & (self.slot < 0)).flatten(1)
        column = unread.cumsum(1) - 1
        row, flat = unread.nonzero(as_tuple=True)
        at = column[row, flat]
        own = branches.used + at
        self.slot.view(len(asked), -1)[row, flat] = own
        tokens = torch.zeros(len(asked), int(at.max()) + 1, dtype=torch.long, device=asked.device)
        below = torch.zeros_like(tokens)
        tokens[row, at] = self.token.flatten(1)[row, flat]
        level = flat % depth
        below[row, at] = level
        path = self.slot[row, flat // depth]
        upwards = torch.arange(depth, device=asked.device) <= level[:, None]
        sees = torch.where(upwards, path, own[:, None])
        hidden = branches.append(tokens, below, row[:, None], at[:, None], sees)
        request, beam = asked.nonzero(as_tuple=True)
        return hidden[request, column[request, beam * depth + depth - 1]]
