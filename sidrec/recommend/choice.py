"""Which candidates go on: the best ones, and under prefix caps the best ones that leave room for K items.

A cap says how many items of an answer may share a prefix of some depth. Caps at several depths are nested groups with a
capacity each (a laminar matroid), for which taking the best item that still has room, again and again, gives the best
answer there is, and as many items as any answer can have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.recommend.trie import Trie

DEAD = float("-inf")


def best(
    score: Tensor, rank: Callable[[], Tensor], width: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Positions and scores ``(B, W)`` of the highest of ``score (B, C)``, and the best score left out ``(B,)``.

    Equal ones by the lower ``rank()`` (B, C); dead ones last, and at least one column.
    """
    kept, at = (x.cpu().numpy() for x in torch.topk(score, min(width + 1, score.shape[1]), dim=1))
    width = max(1, min(width, int((kept > DEAD).sum(1).max())))
    if kept.shape[1] == width:
        return at, kept, np.full(len(kept), DEAD, dtype=np.float32)
    left = kept[:, width]
    at, kept = at[:, :width], kept[:, :width]
    # topk is free in its choice among equals; where it had one, choose again by a full stable sort (ten times slower).
    if bool(((left == kept[:, -1]) & (left > DEAD)).any()):
        by_rank = torch.argsort(rank(), dim=1)
        by_score = torch.argsort(score.gather(1, by_rank), dim=1, descending=True, stable=True)
        chosen = by_rank.gather(1, by_score[:, :width])
        at, kept = chosen.cpu().numpy(), score.gather(1, chosen).cpu().numpy()
    return at, kept, left


@dataclass(slots=True)
class Capped:
    """The caps of one request, and what its search has pruned so far.

    Any ``width >= k`` beams lead to ``k`` items, or to as many as the caps allow: at each depth the best ``k`` prefixes that
    the caps leave room for are kept, whatever their score, then the best of the others. A prefix that finds no room
    stands below one that is full, and the beams kept below that one lead to as many items as its cap.
    """

    trie: Trie
    caps: Mapping[int, int]
    pruned: list[tuple[NDArray[np.float32], NDArray[np.integer], int]]

    def choose(
        self, score: NDArray[np.float32], rank: NDArray[np.integer], node: NDArray[np.integer], depth: int, k: int, width: int
    ) -> NDArray[np.int64]:
        """Positions of the candidates that go on; those with a score of ``-inf`` never do."""
        order = np.lexsort((rank, -score))[: int((score > DEAD).sum())]
        position = self.trie.leaf_range(depth, node[order])[0]
        room = np.arange(len(order))
        for cap_depth, cap in sorted(self.caps.items(), reverse=True):
            if cap_depth < depth:
                above = self.trie.nodes_above(cap_depth, position[room])
                room = room[_nth_of_its_kind(above) < cap]
        kept = np.zeros(len(order), dtype=np.bool_)
        kept[room[:k]] = True
        if depth < self.trie.depth:
            kept[np.flatnonzero(~kept)[: width - int(kept.sum())]] = True
            self.pruned.append((score[order[~kept]], position[~kept], depth))
        return order[kept]

    def is_exact(self, score: NDArray[np.float32], position: NDArray[np.integer], slack: float) -> bool:
        """Whether no pruned item could stand in the answer of these scores and leaf positions, best first.

        Below a pruned prefix no item scores more than the prefix does. It could not have come in when the answer was
        complete by then, or when a prefix above it was full by then.
        """
        if not len(score):
            return True
        for pruned, below, depth in self.pruned:
            harmless = pruned < score[-1] - slack
            for cap_depth, cap in self.caps.items():
                if cap_depth > depth or not len(pruned):
                    continue
                of_pruned = self.trie.nodes_above(cap_depth, below)
                of_answer = self.trie.nodes_above(cap_depth, position)
                last = np.full(self.trie.width(cap_depth), DEAD, dtype=np.float32)  # the score that made each full
                full = np.flatnonzero(_nth_of_its_kind(of_answer) == cap - 1)
                last[of_answer[full]] = score[full]
                harmless |= pruned < last[of_pruned] - slack
            if not harmless.all():
                return False
        return True


def _nth_of_its_kind(kind: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many equal values stand before each.

    >>> _nth_of_its_kind(np.array([7, 3, 7, 7, 3])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(kind, kind="stable")
    first = np.flatnonzero(np.diff(kind[order], prepend=-1))
    nth = np.empty(len(kind), dtype=np.int64)
    nth[order] = np.arange(len(kind)) - np.repeat(first, np.diff(first, append=len(kind)))
    return nth


def choose_capped(
    capped: Mapping[int, Capped],
    at: NDArray[np.int64],
    kept: NDArray[np.float32],
    score: Tensor,
    rank: Tensor,
    node: Tensor,
    depth: int,
    k: int,
    width: int,
) -> None:
    """``best`` has chosen ``at`` and ``kept`` for all requests: choose again, in place, for those with caps.

    ``score``, ``rank`` and ``node`` are those of all candidates, ``(B, C)``.
    """
    for row, own in capped.items():
        scores, ranks, nodes = (x[row].cpu().numpy() for x in (score, rank, node))
        chosen = own.choose(scores, ranks, nodes, depth, k, width)
        at[row], kept[row] = 0, DEAD
        at[row, : len(chosen)] = chosen
        kept[row, : len(chosen)] = scores[chosen]
