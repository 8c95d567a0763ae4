"""Level-synchronous beam search over the trie: one prefill, then at most one step a level for all beams of all requests.

All beams of a request lie along the sequence axis of one batch row and share the prompt's keys and values. A beam is
kept only while an eligible item is below it, so no beam can die, and at least as many distinct items come out as there
are beams, or all that are eligible.

Log-probabilities are at most 0, so no item below a prefix scores more than the prefix itself. That is why the best
score ever pruned certifies an answer: items that score more than it cannot have been missed. That speaks of scores as this
search computes them; bfloat16 computes coarser ones, and in another batch slightly different ones.

Shapes: B requests, W beams, M candidates a beam (the most children of any), d levels chosen so far.
"""

from __future__ import annotations

import math
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
    """What request 0 met at one level, for who wants to see the search: ``(W, M)``, and the places kept of ``W * M``."""

    node: NDArray[np.int64]
    real: NDArray[np.bool_]
    log_prob: NDArray[np.float32]
    total: NDArray[np.float32]
    kept: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, child: Tensor, count: NDArray[np.int64], log_prob: Tensor | None, total: Tensor) -> Looked:
        node = child[0].cpu().numpy().copy()
        real = np.arange(node.shape[1]) < count[0][:, None]
        certain = np.zeros(node.shape, dtype=np.float32)
        return cls(node, real, certain if log_prob is None else log_prob[0].cpu().numpy(), total[0].cpu().numpy().copy())


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
        device, trie = branches.device, self.trie
        live = LiveNodes.of(alive, self.leaves, device)
        capped = {row: Capped(trie, limits, []) for row, limits in (caps or {}).items()}
        paths = Paths.root(alive.requests)
        bound = np.full(alive.requests, DEAD, dtype=np.float32)  # the best score ever pruned
        for level in range(trie.depth):
            first, count = paths.children(trie, level)
            widest = int(count.max())
            nth = torch.arange(widest, device=device)
            child = torch.from_numpy(first).to(device)[..., None] + nth
            real = None
            if bool((count < widest).any()):
                real = nth < torch.from_numpy(count).to(device)[..., None]
                child.clamp_(max=trie.width(level + 1) - 1)
            log_prob = self._log_probs(level, branches, paths, count, child, real) if level < trie.levels else None
            total = torch.from_numpy(paths.score).to(device)[..., None]
            total = total.expand(child.shape).clone() if log_prob is None else total + log_prob
            if looked is not None and level < trie.levels:
                looked.append(Looked.of(child, count, log_prob, total))
            live.close(level + 1, total, first, count)
            if real is not None:
                total.masked_fill_(~real, DEAD)
            last = level == trie.depth - 1
            width = k if last else beams

            def rank(child: Tensor = child, last: bool = last) -> Tensor:
                # Equal scores: the item of the lower rank, before that the lower code. Where a node lies in these tensors
                # depends on the other requests of the batch, so position decides nothing.
                return (self.ranks[child] if last else child).flatten(1)

            at, score, left = best(total.flatten(1), rank, width)
            if capped:
                choose_capped(capped, at, score, total.flatten(1), rank(), child.flatten(1), level + 1, k, width)
            if not last:
                bound = np.maximum(bound, left)
            if looked is not None and level < trie.levels:
                looked[-1].kept.extend(at[0][score[0] > DEAD].tolist())
            parent = at // widest
            node = np.take_along_axis(first, parent, 1) + at % widest
            step = np.zeros_like(score)
            if log_prob is not None:
                step = log_prob.flatten(1).gather(1, torch.from_numpy(at).to(device)).cpu().numpy()
            token = None  # the items of a shared semantic ID are told apart by no code
            if level < trie.levels:
                node = np.where(score > DEAD, node, 0)
                token = trie.codes[level][node].astype(np.int64) + self.first_ids[level]
            paths = paths.step(parent, node, score, step, token)
        return self._found(paths, bound, capped)

    def _found(self, paths: Paths, bound: NDArray[np.float32], capped: Mapping[int, Capped]) -> Found:
        order = np.lexsort((self.trie.ranks[paths.node], -paths.score), axis=1)
        score = np.take_along_axis(paths.score, order, 1)
        position = np.take_along_axis(paths.node, order, 1)
        levels = np.take_along_axis(paths.steps, order[..., None], 1)
        worst = np.where(score > DEAD, score, np.inf).min(1)
        exact = (bound < worst - SLACK) | (bound == DEAD)
        for row, own in capped.items():
            here = score[row] > DEAD
            exact[row] = own.is_exact(score[row][here], position[row][here], SLACK)
        return Found(self.trie.items[position], score, levels, exact)

    def _log_probs(
        self, level: int, branches: Branches, paths: Paths, count: NDArray[np.int64], child: Tensor, real: Tensor | None
    ) -> Tensor | None:
        """float32 ``(B, W, M)``: log-probability of each candidate given its beam, at most 0; ``None``: all are certain."""
        # Over the valid codes alone an only child is certain: the model need not be asked, nor read the code yet.
        asked = count > (1 if self.normaliser == "valid" else 0)
        rows = np.flatnonzero(asked)
        if not rows.size:
            return None
        code, some = self.codes[level][child].flatten(0, 1).long(), None
        if rows.size < asked.size:
            some = torch.from_numpy(rows).to(child.device)
            code = code[some]
        hidden = paths.read(branches, asked) if level else branches.last if some is None else branches.last[some]
        start = self.first_ids[level]
        if self.normaliser == "valid":
            logits = self.decoder.logits(hidden, start, start + self.trie.sizes[level])
            picked = logits.gather(1, code)
            if real is not None:
                own = real.flatten(0, 1)
                picked.masked_fill_(~(own if some is None else own[some]), DEAD)
            norm = torch.logsumexp(picked, dim=1)
        else:
            picked, norm = self._full(hidden, code + start)
        if not math.isfinite(float(norm.sum())):
            raise ArtifactError("the model's logits are not finite numbers: its training diverged or its weights are damaged")
        found = picked.sub_(norm[:, None]).clamp_(max=0.0)  # rounding must not let a code outdo its prefix
        if some is None:
            return found.view(child.shape)
        return torch.zeros(asked.size, child.shape[2], device=child.device).index_copy_(0, some, found).view(child.shape)

    def _full(self, hidden: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of ``token`` and the logarithm of the whole vocabulary's sum, a few rows at a time."""
        picked, norm = [], []
        rows = max(1, _FULL_LOGITS // self.decoder.rows)
        for start in range(0, len(hidden), rows):
            logits = self.decoder.logits(hidden[start : start + rows])
            picked.append(logits.gather(1, token[start : start + rows]))
            norm.append(torch.logsumexp(logits, dim=1))
        return torch.cat(picked), torch.cat(norm)
