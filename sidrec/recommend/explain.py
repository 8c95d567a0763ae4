"""The beam tree of one request: what was considered at each level, what survived, what was pruned, what a filter removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidrec.recommend.beam import Looked
from sidrec.recommend.filters import Alive
from sidrec.types import Ranked


@dataclass(frozen=True, slots=True, eq=False)
class Considered:
    """The C candidates of one level, the children of all beams that survived the level before, in the order of their codes.

    ``codes`` int32 ``(C, depth)``: the prefix. ``parent`` int32 ``(C,)``: its row among the level before (-1 at the first).
    ``log_prob`` float32 ``(C,)``: of the last code given the prefix before it, and 0 for an only child, which is certain
    over the valid codes. ``score`` float32 ``(C,)``: of the whole prefix. ``eligible`` int64 ``(C,)``: items below that the
    request may be given; 0 is a filtered branch. ``kept`` bool ``(C,)``: survived.
    What is neither kept nor filtered was pruned.
    """

    codes: NDArray[np.int32]
    parent: NDArray[np.int32]
    log_prob: NDArray[np.float32]
    score: NDArray[np.float32]
    eligible: NDArray[np.int64]
    kept: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A request's answer and the search behind it, a ``Considered`` a level (none where no item is eligible)."""

    ranked: Ranked
    levels: tuple[Considered, ...]


def explain(ranked: Ranked, looked: Sequence[Looked], alive: Alive) -> Explanation:
    """From what the search met; ``alive`` holds one request."""
    levels: list[Considered] = []
    prefixes = np.empty((1, 0), dtype=np.int32)  # of the beams, in the order in which the search holds them
    rows = np.asarray([-1], dtype=np.int32)  # and where they stand in the level before
    for depth, met in enumerate(looked, start=1):
        beam = np.nonzero(met.real)[0]
        node = met.node[met.real]
        order = np.argsort(node)  # nodes of a depth stand in the order of their codes
        beam, node = beam[order], node[order]
        kept = np.zeros(met.real.shape, dtype=np.bool_)
        kept.reshape(-1)[met.kept] = True
        last = alive.trie.codes[depth - 1][node].astype(np.int32)
        made = Considered(
            codes=np.column_stack((prefixes[beam], last)),
            parent=rows[beam],
            log_prob=met.log_prob[met.real][order],
            score=met.total[met.real][order],
            eligible=alive.counts(depth, np.zeros_like(node), node),
            kept=kept[met.real][order],
        )
        levels.append(made)
        place = np.searchsorted(node, met.node.reshape(-1)[met.kept])
        prefixes, rows = made.codes[place], place.astype(np.int32)
    return Explanation(ranked, tuple(levels))
