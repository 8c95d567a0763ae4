"""Level-synchronous beam search over the trie: one prefill, then at most one step a level for all beams of all requests.

All beams of a request lie along the sequence axis of one batch row and share the prompt's keys and values. A beam is
kept only while an eligible item is below it, so no beam can die, and at least as many distinct items come out as there
are beams, or all that are eligible.

Log-probabilities are at most 0, so no item below a prefix scores more than the prefix itself. That is why the best
score ever pruned certifies an answer: items that score more than it cannot have been missed.

Shapes: B requests, W beams, M candidates a beam (the most children of any), d levels chosen so far.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.errors import ArtifactError
from sidrec.recommend.branches import Branches
from sidrec.recommend.choice import DEAD, Capped, best, choose_capped
from sidrec.recommend.decoder import Decoder
from sidrec.recommend.filters import Alive
from sidrec.recommend.live import LiveNodes
from sidrec.recommend.paths import Paths
from sidrec.recommend.trie import Trie

Normaliser = Literal["full", "valid"]
NORMALISERS: tuple[Normaliser, ...] = ("full", "valid")
_FULL_LOGITS = 1 << 25  # logits of the whole vocabulary held at once: 128 MB
SLACK = 1e-5  # a certified score is above the best pruned one by more than the noise of summing in another order


@dataclass(frozen=True, slots=True)
class Found:
    """Answers of a batch, best first: items int32 and scores float32 ``(B, K)``, the scores a level ``(B, K, L)``.

    Behind a request's last item the score is ``-inf``. ``exact`` bool ``(B,)``: provably no better items exist.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    levels: NDArray[np.float32]
    exact: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Looked:
    """What one request met at one level, for who wants to see the search: ``(W, M)``, and the places kept ``(W',)``."""

    node: NDArray[np.int64]
    real: NDArray[np.bool_]
    log_prob: NDArray[np.float32]
    total: NDArray[np.float32]
    kept: NDArray[np.int64]


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
    ranks: Tensor = field(init=False)

    def __post_init__(self) -> None:
        device = self.decoder.model.device
        with warnings.catch_warnings():  # torch has no read-only tensors and says so; nobody writes to these
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            for name in ("codes", "children", "leaves"):
                arrays: tuple[NDArray[np.integer], ...] = getattr(self.trie, name)
                object.__setattr__(self, name, tuple(torch.from_numpy(a).to(device) for a in arrays))
            for name in ("items", "ranks"):
                object.__setattr__(self, name, torch.from_numpy(getattr(self.trie, name)).to(device))

    def room(self, beams: int) -> int:
        """How many tokens may come to stand below a prompt.

        At each level a request may read all that it skipped before, and the batch takes the slots of the longest row each
        time: one request reads early, another late, so the sum over levels is 1 + 2 + ... codes a beam.
        """
        return min(beams, self.trie.n_items) * self.trie.levels * (self.trie.levels - 1) // 2

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]], beams: int) -> Branches:
        """The prefill. ``prompts`` end with the token that opens a semantic ID."""
        return self.decoder.read(prompts, self.room(beams))

    @torch.inference_mode()
    def run(
        self,
        branches: Branches,
        alive: Alive,
        beams: int,
        k: int,
        caps: Mapping[int, Mapping[int, int]] | None = None,
        looked: list[Looked] | None = None,
    ) -> Found:
        """The ``k`` best items of each request that ``beams`` find; ``branches`` can be searched only once.

        ``beams`` is at least ``k``; each request has an eligible item. ``caps``: request to depth to most items of a prefix.
        ``looked`` is filled for request 0, a level at a time.
        """
        live = LiveNodes.of(alive, self.leaves, branches.device)
        capped = {row: Capped(self.trie, limits, []) for row, limits in (caps or {}).items()}
        beam = Paths.root(alive.requests, branches.device)
        bound = torch.full((alive.requests,), DEAD, device=branches.device)  # the best score ever pruned
        for level in range(self.trie.depth):
            first = self.children[level][beam.node].long()
            count = self.children[level][beam.node + 1].long() - first
            count = torch.where(beam.score > DEAD, count, 0)
            child = first[..., None] + torch.arange(int(count.max()), device=branches.device)
            real = child < (first + count)[..., None]
            child = torch.where(real, child, 0)
            if level < self.trie.levels:
                code = self.codes[level][child].long()
                log_prob = self._log_probs(level, branches, beam, count, code, real)
                token = code + self.first_ids[level]
            else:  # the items of a shared semantic ID: nothing is left for the model to say
                log_prob, token = torch.zeros(child.shape, device=branches.device), None
            total = beam.score[..., None] + log_prob
            allowed = live.of_nodes(level + 1, child)
            usable = (total if looked is None else total.clone()).masked_fill_(
                ~(real if allowed is None else real & allowed), DEAD
            )
            last = level == self.trie.depth - 1
            width = k if last else beams

            def rank(child: Tensor = child, last: bool = last) -> Tensor:
                # Equal scores: the item of the lower rank, before that the lower code. Where a node lies in these tensors
                # depends on the other requests of the batch, so position decides nothing.
                return (self.ranks[child] if last else child).flatten(1)

            at, score, left = best(usable.flatten(1), rank, width)
            if capped:
                choose_capped(capped, at, score, usable.flatten(1), rank(), child.flatten(1), level + 1, k, width)
            if not last:
                bound = torch.maximum(bound, left)
            if looked is not None and level < self.trie.levels:
                kept = at[0][score[0] > DEAD]
                looked.append(Looked(*(x.cpu().numpy() for x in (child[0], real[0], log_prob[0], total[0], kept))))
            beam = beam.step(at, score, child, log_prob, token)
        return self._found(beam, bound, capped)

    def _found(self, beam: Paths, bound: Tensor, capped: Mapping[int, Capped]) -> Found:
        order = torch.argsort(self.ranks[beam.node], dim=1)
        score, by_score = torch.sort(beam.score.gather(1, order), dim=1, descending=True, stable=True)
        order = order.gather(1, by_score)
        position = beam.node.gather(1, order)
        levels = beam.steps.gather(1, order[..., None].expand(-1, -1, self.trie.levels))
        worst = torch.where(score > DEAD, score, torch.inf).amin(1)
        exact = ((bound < worst - SLACK) | (bound == DEAD)).cpu().numpy()
        positions, scores = position.cpu().numpy(), score.cpu().numpy()
        for row, own in capped.items():
            here = scores[row] > DEAD
            exact[row] = own.is_exact(scores[row][here], positions[row][here], SLACK)
        return Found(self.trie.items[positions], scores, levels.cpu().numpy(), exact)

    def _log_probs(self, level: int, branches: Branches, beam: Paths, count: Tensor, code: Tensor, real: Tensor) -> Tensor:
        """float32 ``(B, W, M)``: log-probability of each candidate given its beam, at most 0."""
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
            picked = logits.gather(1, code).masked_fill_(~real, DEAD)
            norm = torch.logsumexp(picked, dim=1)
        else:
            picked, norm = self._full(hidden, code + start)
        if not bool(torch.isfinite(norm).all()):
            raise ArtifactError("the model's logits are not finite numbers: its training diverged or its weights are damaged")
        log_probs[asked] = (picked - norm[:, None]).clamp_(max=0.0)  # rounding must not let a code outdo its prefix
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
