"""The beam search with fixed shapes and a fixed number of steps: nothing of it depends on what a request holds.

So a whole request, prefill and all levels, can be recorded once as a CUDA graph and replayed with one call, and requests of
different lengths, filters and widths go through it side by side. The answers are those of ``Search``:

- A level's candidates are each beam's children in the trie's rows, padded to the most children of any node of that depth
  (as in YouTube's STATIC, which pads its CSR rows to a level's largest branching factor). The other way, all codes of the
  level with a look-up of the child, never has fewer candidates (256 in place of about 40 below the second level of 1 M even
  items), and what costs on a GPU is choosing the best of them.
- A beam always runs, also where its code is an only child.
- Beams stand in the order of their nodes, so that a candidate's place is its order among equal scores; score and place
  in one integer make ``topk`` choose as a stable sort would.
- The joint count of mask and exclusions is taken at the bounds of the candidates' leaf ranges: prefix sums of the mask minus
  the exclusions before it, found by bisection in the request's sorted list.

Shapes: B requests, P slots of a prompt, W beams, M candidates a beam, X exclusions, L levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sidrec.recommend.static_qwen3 import StaticQwen3
from sidrec.recommend.tables import Resident

DEAD = float("-inf")
_LOW = (1 << 32) - 1
_FULL_LOGITS = 1 << 27  # logits of the whole vocabulary held at once: 512 MB


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a recorded search is made for. Requests are padded up to it."""

    rows: int
    prompt: int
    beams: int
    excluded: int

    @property
    def columns(self) -> int:
        """Columns of the packed input: prompt, length, beams, mask, exclusions."""
        return self.prompt + 3 + self.excluded


@dataclass(frozen=True, slots=True)
class StaticSearch:
    """One prefill and L - 1 beam steps. ``first_ids``: the token id of code 0 of each level; ``sizes``: codes a level."""

    layers: StaticQwen3
    resident: Resident
    first_ids: Sequence[int]
    sizes: Sequence[int]
    over_vocabulary: bool  # the normaliser: the whole vocabulary, or the codes that the catalogue has at a node

    def widths(self, beams: int) -> list[int]:
        """How many beams there can be behind each level."""
        widths: list[int] = []
        for most in self.resident.widest:
            widths.append(min(beams, (widths[-1] if widths else 1) * most))
        return widths

    def run(self, bucket: Bucket, packed_BC: Tensor) -> Tensor:
        """A batch of requests, packed int32 ``(B, columns)``, to packed answers int32 ``(B, W' (2 + L) + 2)``.

        An answer's columns: W' leaf positions, W' scores, W' L scores a level (float32 by their bits; ``-inf`` behind the
        last item), the best score ever pruned, and whether all numbers were finite.
        """
        prompt, length, beams, mask, excluded = torch.split(packed_BC, [bucket.prompt, 1, 1, 1, bucket.excluded], dim=1)
        lengths, wanted = length[:, 0].long(), beams.long()
        widths = self.widths(bucket.beams)
        stride = -(-max(widths) // 8) * 8  # slots a level: kernels want the mask's rows aligned
        cache = self.layers.cache(bucket.rows, bucket.prompt, stride * (len(widths) - 1))
        hidden = self.layers.prefill(prompt, lengths, cache)[:, None]
        count = _Count(self.resident.masks, mask[:, 0].long(), excluded.contiguous())
        beam = _Beams.root(bucket.rows, len(widths), packed_BC.device)
        bound = torch.full((bucket.rows,), DEAD, device=packed_BC.device)
        finite = torch.ones(bucket.rows, dtype=torch.bool, device=packed_BC.device)
        in_prompt = torch.arange(bucket.prompt, device=packed_BC.device) < lengths[:, None]
        for level, width in enumerate(widths):
            last = level == len(widths) - 1
            met = self._candidates(level, beam, hidden, count)
            finite &= met.finite
            if last:
                return self._packed(met, beam, width, bound, finite)
            key = _key(met.total, torch.arange(met.total.shape[1], device=packed_BC.device))
            kept = torch.topk(key, min(width + 1, key.shape[1]), dim=1).values
            score = _score(kept)
            rank = torch.arange(kept.shape[1], device=packed_BC.device)
            bound = torch.maximum(bound, torch.where(rank >= wanted, score, DEAD).amax(1))
            lives = (rank < wanted) & (score > DEAD)
            at = torch.where(lives, _low(kept), _LOW).sort(dim=1).values[:, :width]
            beam = beam.step(at, met, level)
            seen = torch.cat((in_prompt[:, None].expand(-1, width, -1), beam.seen(stride)), dim=2)
            token, position = beam.code + self.first_ids[level], (lengths + level)[:, None].expand(-1, width)
            start = bucket.prompt + level * stride
            hidden = self.layers.extend(token, position, cache, start, self.layers.bias(seen))
        raise AssertionError("a trie has at least one level")

    def _candidates(self, level: int, beam: _Beams, hidden: Tensor, count: _Count) -> _Met:
        children, bounds, codes, fresh, _, _ = self.resident.tables()
        first = children[level][beam.node].long()
        own = torch.where(beam.lives, children[level][beam.node + 1].long() - first, 0)[..., None]
        nth = torch.arange(self.resident.widest[level] + 1, device=hidden.device)
        edge = first[..., None] + torch.minimum(nth, own)
        real = nth[:-1] < own
        child = torch.where(real, edge[..., :-1], 0)
        last = level == len(self.sizes) - 1
        alive = count.between(edge if last else bounds[level][edge].long())
        code = codes[level][child].long()
        start = self.first_ids[level]
        logits = self.layers.logits(hidden, start, start + self.sizes[level])
        if self.over_vocabulary:
            picked, norm = logits.gather(2, code), self._norms(hidden)
        else:
            picked = logits.gather(2, code)
            norm = picked.masked_fill(~(real & fresh[child] if last else real), DEAD).logsumexp(2)
        log_prob = (picked - norm[..., None]).clamp_(max=0.0)  # rounding must not let a code outdo its prefix
        total = torch.where(real & alive, beam.score[..., None] + log_prob, DEAD)
        finite = (torch.isfinite(norm) | ~beam.lives).all(1)
        return _Met(first, child.flatten(1), code.flatten(1), log_prob.flatten(1), total.flatten(1), finite)

    def _norms(self, hidden: Tensor) -> Tensor:
        """Logarithm of the whole vocabulary's sum ``(B, W)``, a few rows at a time."""
        rows = max(1, _FULL_LOGITS // self.layers.rows)
        parts = [self.layers.all_logits(some).logsumexp(1) for some in torch.split(hidden.flatten(0, 1), rows)]
        return torch.cat(parts).view(hidden.shape[:2])

    def _packed(self, met: _Met, beam: _Beams, width: int, bound: Tensor, finite: Tensor) -> Tensor:
        """The best items. Equal scores stand by the item's rank, from which its place is found again."""
        *_, ranks, position = self.resident.tables()
        key = torch.topk(_key(met.total, ranks[met.child].long()), width, dim=1).values
        score = _score(key)
        found = position[_low(key)].long()
        # Beams stand in the order of their nodes, dead ones behind: the beam of a leaf is the last one that begins before it.
        begins = torch.where(beam.lives, met.first, _LOW)
        parent = (torch.searchsorted(begins, found, right=True) - 1).clamp_(min=0)
        place = found - met.first.gather(1, parent)
        most = met.total.shape[1] // beam.node.shape[1]
        step = met.log_prob.gather(1, parent * most + place.clamp(0, most - 1))
        levels = torch.cat((beam.steps.gather(1, parent[..., None].expand(-1, -1, beam.steps.shape[2])), step[..., None]), 2)
        numbers = torch.cat((score, levels.flatten(1), bound[:, None]), dim=1).view(torch.int32)
        return torch.cat((found.int(), numbers, finite.int()[:, None]), dim=1)


@dataclass(frozen=True, slots=True)
class _Met:
    """A level's candidates ``(B, W * M)``, and each beam's first child ``(B, W)``."""

    first: Tensor
    child: Tensor
    code: Tensor
    log_prob: Tensor
    total: Tensor
    finite: Tensor


@dataclass(frozen=True, slots=True)
class _Beams:
    """``node``, ``score``, ``code`` and ``lives`` ``(B, W)``; scores a level and the slot at each level ``(B, W, d)``."""

    node: Tensor
    score: Tensor
    code: Tensor
    lives: Tensor
    steps: Tensor
    slot: Tensor

    @classmethod
    def root(cls, rows: int, levels: int, device: torch.device) -> _Beams:
        node = torch.zeros(rows, 1, dtype=torch.long, device=device)
        none = torch.zeros(rows, 1, 0, device=device)
        return cls(node, none.sum(2), node, torch.ones_like(node, dtype=torch.bool), none, none.long())

    def step(self, at: Tensor, met: _Met, level: int) -> _Beams:
        """The beams at the candidates ``at`` (B, W'), ascending, places in the flat ``(W * M)``; ``_LOW``: none."""
        lives = at < _LOW
        at = torch.where(lives, at, 0)
        most = met.total.shape[1] // self.node.shape[1]
        parent = at // most
        behind = parent[..., None].expand(-1, -1, level)
        own = torch.arange(at.shape[1], device=at.device).expand_as(at)
        return _Beams(
            met.child.gather(1, at),
            met.total.gather(1, at),
            met.code.gather(1, at),
            lives,
            torch.cat((self.steps.gather(1, behind), met.log_prob.gather(1, at)[..., None]), dim=2),
            torch.cat((self.slot.gather(1, behind), own[..., None]), dim=2),
        )

    def seen(self, stride: int) -> Tensor:
        """bool ``(B, W, d * stride)``: the slots that each beam's newest token sees, itself and the codes before it."""
        return (self.slot[..., None] == torch.arange(stride, device=self.slot.device)).flatten(2)


@dataclass(frozen=True, slots=True)
class _Count:
    """Eligible and not excluded items before a leaf position: the mask's prefix sums minus the exclusions before it."""

    masks: Tensor  # as in Resident
    mask: Tensor  # (B,): the row of masks that a request has
    excluded: Tensor  # (B, X): leaf positions, ascending, each once, of eligible items alone; behind the last the capacity

    def between(self, edge: Tensor) -> Tensor:
        """bool ``(B, W, M)``: whether an item is left between ``edge[..., m]`` and ``edge[..., m + 1]`` (B, W, M + 1)."""
        before = torch.searchsorted(self.excluded, edge.flatten(1).int()).view(edge.shape)
        left = self.masks[self.mask[:, None, None], edge] - before
        return left[..., 1:] > left[..., :-1]


def _key(score: Tensor, low: Tensor) -> Tensor:
    """int64 that sorts by float32 score, equal ones by the lower ``low`` (below 2^32 - 1): the largest is the best."""
    bits = (score + 0.0).view(torch.int32).long()  # -0.0 would stand behind 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (ordered << 32) | (_LOW - low)


def _score(key: Tensor) -> Tensor:
    ordered = key >> 32
    return torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).int().view(torch.float32)


def _low(key: Tensor) -> Tensor:
    return _LOW - (key & _LOW)
