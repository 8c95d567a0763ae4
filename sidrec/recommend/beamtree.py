"""The beam tree of a request in a form that can be told: which branches went on, what each stands for, what was left behind."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.recommend.explain import Considered, Explanation
from sidrec.recommend.trie import Trie

_WORD = re.compile(r"[^\W\d_]{3,}")
_SAMPLED, _COMPARED, _WORDS = 200, 5000, 3  # titles below a prefix, titles of the catalogue, words of a name


@dataclass(frozen=True, slots=True)
class Left:
    """Branches of one parent that did not go on: how many, and the best of them: its code, probability and name."""

    count: int
    best: str
    probability: float
    name: str


@dataclass(frozen=True, slots=True)
class Branch:
    """A prefix that a beam held; the root has none.

    ``probability`` is of the whole prefix, ``share`` of its last code given those before it. ``eligible``: items below that
    the request may be given. ``items``: at the last level, the items of the answer that have these codes, and ``ranks``
    their places from 1. ``name``: the title of the only item below, or words that its items' titles have in common.
    """

    codes: tuple[int, ...]
    probability: float
    share: float
    eligible: int
    name: str
    children: tuple[Branch, ...] = ()
    pruned: Left | None = None
    filtered: Left | None = None
    items: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The last code: ``B17``."""
        return spelled(self.codes)

    def ends(self) -> Iterator[Branch]:
        """The branches without children, this one perhaps, in order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.ends()


@dataclass(frozen=True, slots=True)
class Level:
    """Counts of one level: candidates, those that went on, and those that did not."""

    name: str
    considered: int
    kept: int
    pruned: Left | None
    filtered: Left | None


@dataclass(frozen=True)
class Names:
    """What the catalogue has below a prefix of codes."""

    trie: Trie
    titles: Sequence[str]

    def below(self, codes: Sequence[int]) -> NDArray[np.int32]:
        """Item indices below a prefix, in the order of their codes; none if no item has it."""
        node = 0
        for level, code in enumerate(codes):
            first, stop = self.trie.children[level][node : node + 2].tolist()
            at = first + int(np.searchsorted(self.trie.codes[level][first:stop], code))
            if at == stop or self.trie.codes[level][at] != code:
                return self.trie.items[:0]
            node = at
        low, high = self.trie.leaf_range(len(codes), np.asarray([node]))
        return self.trie.items[int(low[0]) : int(high[0])]

    def __call__(self, codes: Sequence[int]) -> str:
        """The title of the only item below, or the words that most set its items' titles apart from the catalogue's."""
        items = self.below(codes)
        if len(items) == 1:
            return self.titles[int(items[0])]
        sample = items[:: max(1, len(items) // _SAMPLED)][:_SAMPLED].tolist()
        counts = Counter(word for item in sample for word in _words(self.titles[item]))
        known, n = self._known
        best = sorted(counts, key=lambda word: (-counts[word] * (1 + math.log(n / max(1, known[word]))), word))
        often = [word for word in best if 3 * counts[word] >= len(sample)]
        return " ".join((often or best)[:_WORDS])

    @cached_property
    def _known(self) -> tuple[Counter[str], int]:
        sample = self.titles[:: max(1, len(self.titles) // _COMPARED)]
        return Counter(word for title in sample for word in _words(title)), len(sample)


def grow(explanation: Explanation, names: Names, codes: NDArray[np.int32]) -> Branch:
    """The tree. ``codes``, int32 ``(N, L)``, are the catalogue's."""
    ranked = explanation.ranked
    held: dict[tuple[int, ...], list[int]] = {}
    for item in ranked.items.tolist():
        held.setdefault(tuple(codes[item].tolist()), []).append(item)
    rank = {item: place for place, item in enumerate(ranked.items.tolist(), start=1)}

    def branch(depth: int, row: int) -> Branch:
        level = explanation.levels[depth - 1] if depth else None
        prefix = tuple(level.codes[row].tolist()) if level else ()
        items = tuple(held.get(prefix, ()))
        below = explanation.levels[depth] if depth < len(explanation.levels) else None
        rows = np.flatnonzero(below.parent == row) if below else np.empty(0, dtype=np.int64)
        kept = [child for child in rows.tolist() if below and below.kept[child]]
        kept.sort(key=lambda child: -float(below.score[child]) if below else 0.0)
        return Branch(
            codes=prefix,
            probability=math.exp(float(level.score[row])) if level else 1.0,
            share=math.exp(float(level.log_prob[row])) if level else 1.0,
            eligible=int(level.eligible[row]) if level else ranked.eligible,
            name=names(prefix) if level else "",
            children=tuple(branch(depth + 1, child) for child in kept),
            pruned=left_behind(below, rows, names, filtered=False) if below else None,
            filtered=left_behind(below, rows, names, filtered=True) if below else None,
            items=items,
            ranks=tuple(rank[item] for item in items),
        )

    return branch(0, -1)


def levels_of(explanation: Explanation, names: Callable[[Sequence[int]], str]) -> list[Level]:
    """Each level as a whole."""
    found = []
    for depth, level in enumerate(explanation.levels):
        rows = np.arange(len(level.kept))
        pruned, filtered = (left_behind(level, rows, names, filtered=which) for which in (False, True))
        found.append(Level(ascii_uppercase[depth], len(rows), int(level.kept.sum()), pruned, filtered))
    return found


def candidates(explanation: Explanation) -> list[dict[str, Any]]:
    """Every candidate of every level, as plain values: prefix, probability, eligible items, and what became of it."""
    rows: list[dict[str, Any]] = []
    for level in explanation.levels:
        columns = (level.codes, level.log_prob, level.score, level.eligible, level.kept)
        for codes, log_prob, score, eligible, kept in zip(*(column.tolist() for column in columns), strict=True):
            rows.append(
                {
                    "level": ascii_uppercase[len(codes) - 1],
                    "prefix": " ".join(spelled(codes[:depth]) for depth in range(1, len(codes) + 1)),
                    "log_prob": log_prob,
                    "score": score,
                    "probability": math.exp(score),
                    "eligible": eligible,
                    "state": "went on" if kept else "pruned" if eligible else "filtered",
                }
            )
    return rows


def left_behind(
    level: Considered, rows: NDArray[np.int64], names: Callable[[Sequence[int]], str], *, filtered: bool
) -> Left | None:
    """Of some candidates those that were pruned, or those that a filter left without items; ``None``: there are none."""
    gone = rows[~level.kept[rows] & ((level.eligible[rows] == 0) == filtered)]
    if not len(gone):
        return None
    best = int(gone[np.argmax(level.score[gone])])
    codes = tuple(level.codes[best].tolist())
    return Left(len(gone), spelled(codes), math.exp(float(level.score[best])), names(codes))


def best_ends(root: Branch, most: int) -> set[tuple[int, ...]]:
    """The prefixes on the way to the answer's items, and to as many of the best other ends as make ``most`` with them."""
    ends = sorted(root.ends(), key=lambda end: (not end.ranks, -end.probability))
    answer = sum(bool(end.ranks) for end in ends)
    return {end.codes[:depth] for end in ends[: max(most, answer)] for depth in range(len(end.codes) + 1)}


def spelled(codes: Sequence[int]) -> str:
    """The last code of a prefix as its token has it.

    >>> spelled((12, 17))
    'B17'
    """
    return f"{ascii_uppercase[len(codes) - 1]}{codes[-1]}" if codes else ""


def _words(title: str) -> set[str]:
    return set(_WORD.findall(title.casefold()))
