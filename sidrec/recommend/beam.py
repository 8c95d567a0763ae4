"""Level-synchronous beam search over the trie: one prefill, then at most one step a level for all beams of all requests.

All beams of a request lie along the sequence axis of one batch row and share the prompt's keys and values. A beam is
kept only while an eligible item is below it, so no beam can die, and at least as many distinct items come out as there
are beams, or all that are eligible.

Shapes: B requests, W beams, M candidates a beam (the most children of any), d levels chosen so far.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.errors import ArtifactError
from sidrec.recommend.branches import Branches
from sidrec.recommend.decoder import Decoder
from sidrec.recommend.filters import Alive
from sidrec.recommend.trie import Trie

Normaliser = Literal["full", "valid"]
NORMALISERS: tuple[Normaliser, ...] = ("full", "valid")
_FULL_LOGITS = 1 << 25  # logits of the whole vocabulary held at once: 128 MB
_DEAD = float("-inf")


@dataclass(frozen=True)
class Search:
    """Everything a search needs that no request changes, on the model's device."""

    decoder: Decoder
    trie: Trie
    first_ids: Sequence[int]  # the token id of code 0 of each level
    normaliser: Normaliser
    codes: tuple[Tensor, ...] = field(init=False)
    children: tuple[Tensor, ...] = field(init=False)
    leaves: tuple[Tensor, ...] = field(init=False)
    items: Tensor = field(init=False)

    def __post_init__(self) -> None:
        with warnings.catch_warnings():  # torch has no read-only tensors and says so; nobody writes to these
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            for name in ("codes", "children", "leaves"):
                arrays: tuple[NDArray[np.integer], ...] = getattr(self.trie, name)
                object.__setattr__(self, name, tuple(torch.from_numpy(a).to(self.decoder.model.device) for a in arrays))
            object.__setattr__(self, "items", torch.from_numpy(self.trie.items).to(self.decoder.model.device))

    @torch.inference_mode()
    def run(
        self, prompts: Sequence[Sequence[int]], alive: Alive, beams: int, k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Items and scores, ``(B, k)`` or narrower, best first; behind a request's last item the score is ``-inf``.

        ``prompts`` end with the token that opens a semantic ID; ``beams`` is at least ``k``; each request has an
        eligible item.
        """
        levels = self.trie.levels
        # At each level a request may read all that it skipped before, and the batch takes the slots of the longest
        # row each time: one request reads early, another late, so the sum over levels is 1 + 2 + ... codes a beam.
        branches = self.decoder.read(prompts, room=min(beams, self.trie.n_items) * levels * (levels - 1) // 2)
        device, batch = branches.device, len(prompts)
        beam = _Beams.root(batch, device)
        for level in range(levels):
            first = self.children[level][beam.node].long()
            count = self.children[level][beam.node + 1].long() - first
            count = torch.where(beam.score > _DEAD, count, 0)
            child = first[..., None] + torch.arange(int(count.max()), device=device)
            real = child < (first + count)[..., None]
            child = torch.where(real, child, 0)
            code = self.codes[level][child].long()
            total = beam.score[..., None] + self._log_probs(level, branches, beam, count, code, real)
            total = total.masked_fill_(~(real & self._alive(alive, level + 1, child)), _DEAD).flatten(1)
            last = level == levels - 1
            # Equal scores: the item of the lower index, before that the lower code. Where a node lies in these tensors
            # depends on the other requests of the batch, so position decides nothing.
            rank = (self.items[child] if last else child).flatten(1)
            at, score = _best(total, rank, k if last else beams)
            beam = beam.step(at, score, child, code + self.first_ids[level])
        order = torch.argsort(self.items[beam.node], dim=1)
        score, by_score = torch.sort(beam.score.gather(1, order), dim=1, descending=True, stable=True)
        items = self.items[beam.node.gather(1, order).gather(1, by_score)]
        return items.cpu().numpy().astype(np.int32), score.cpu().numpy()

    def _log_probs(self, level: int, branches: Branches, beam: _Beams, count: Tensor, code: Tensor, real: Tensor) -> Tensor:
        """float32 ``(B, W, M)``: log-probability of each candidate given its beam."""
        # Over the valid codes alone an only child is certain: the model need not be asked, nor read the code yet.
        asked = count > (1 if self.normaliser == "valid" else 0)
        log_probs = torch.zeros(code.shape, device=code.device)
        if not bool(asked.any()):
            return log_probs
        hidden = branches.last[asked.nonzero()[:, 0]] if level == 0 else beam.read(branches, asked)
        start = self.first_ids[level]
        code, real = code[asked], real[asked]
        if self.normaliser == "valid":
            logits = self.decoder.logits(hidden, start, start + self.trie.sizes[level])
            picked = logits.gather(1, code).masked_fill_(~real, _DEAD)
            norm = torch.logsumexp(picked, dim=1)
        else:
            picked, norm = self._full(hidden, code + start)
        if not bool(torch.isfinite(norm).all()):
            raise ArtifactError("the model's logits are not finite numbers: its training diverged or its weights are damaged")
        log_probs[asked] = picked - norm[:, None]
        return log_probs

    def _full(self, hidden: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of ``token`` and the logarithm of the whole vocabulary's sum, a few rows at a time."""
        picked, norm = [], []
        rows = max(1, _FULL_LOGITS // self.decoder.rows)
        for start in range(0, len(hidden), rows):
            logits = self.decoder.logits(hidden[start : start + rows])
            picked.append(logits.gather(1, token[start : start + rows]))
            norm.append(torch.logsumexp(logits, dim=1))
        return torch.cat(picked), torch.cat(norm)

    def _alive(self, alive: Alive, depth: int, node: Tensor) -> Tensor:
        """bool, same shape: whether an eligible and not excluded item is below ``node (B, W, M)`` of ``depth``."""
        found = torch.ones(1, dtype=torch.bool, device=node.device)
        if alive.sums is not None:
            sums = torch.from_numpy(alive.sums).to(node.device)
            is_leaf = depth == self.trie.levels
            if node.numel() > self.trie.width(depth):  # cheaper once for each node of the depth
                at_bounds = sums if is_leaf else sums[self.leaves[depth]]
                found = (at_bounds[1:] > at_bounds[:-1])[node]
            else:
                low, high = (node, node + 1) if is_leaf else (self.leaves[depth][node], self.leaves[depth][node + 1])
                found = sums[high] > sums[low]
        emptied = alive.emptied(depth)
        if emptied.size:
            keys = torch.from_numpy(emptied).to(node.device)
            wanted = node + torch.arange(len(node), device=node.device)[:, None, None] * self.trie.width(depth)
            at = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
            found = found & (keys[at] != wanted)
        return found


@dataclass(frozen=True, slots=True)
class _Beams:
    """``node`` and ``score`` ``(B, W)``; token and cache slot of each code so far ``(B, W, d)``, slot -1 while unread."""

    node: Tensor
    score: Tensor
    token: Tensor
    slot: Tensor

    @classmethod
    def root(cls, batch: int, device: torch.device) -> _Beams:
        none = torch.zeros(batch, 1, 0, dtype=torch.long, device=device)
        node = torch.zeros(batch, 1, dtype=torch.long, device=device)
        return cls(node, torch.zeros(batch, 1, device=device), none, none)

    def step(self, at: Tensor, score: Tensor, child: Tensor, token: Tensor) -> _Beams:
        """The beams at the candidates ``at`` (B, W'), positions in the flat ``(W * M)``."""
        parent = at // child.shape[2]
        node = child.flatten(1).gather(1, at)
        chosen = token.flatten(1).gather(1, at)[..., None]
        behind = parent[..., None].expand(-1, -1, self.token.shape[2])
        return _Beams(
            torch.where(score > _DEAD, node, 0),
            score,
            torch.cat((self.token.gather(1, behind), chosen), dim=2),
            torch.cat((self.slot.gather(1, behind), torch.full_like(chosen, -1)), dim=2),
        )

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


def _best(score: Tensor, rank: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Positions and scores ``(B, W)`` of the highest scores, equal ones by the lower ``rank``; dead ones last."""
    width = min(width, int((score > _DEAD).sum(1).max()))
    kept, at = torch.topk(score, width, dim=1)
    cut = kept[:, -1:]
    # topk is free in its choice among equals; where it had one, choose again by a full stable sort (ten times slower).
    chance = ((score == cut).sum(1) > (kept == cut).sum(1)) & (cut[:, 0] > _DEAD)
    if bool(chance.any()):
        by_rank = torch.argsort(rank, dim=1)
        by_score = torch.argsort(score.gather(1, by_rank), dim=1, descending=True, stable=True)
        at = by_rank.gather(1, by_score[:, :width])
        kept = score.gather(1, at)
    return at, kept
