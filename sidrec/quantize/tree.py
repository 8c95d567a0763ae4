"""The tree of semantic IDs, cut to a size that can be drawn: the largest prefixes by name, the others added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec.quantize.prefixes import prefix_groups
from sidrec.quantize.words import Titles

DEPTH = 3  # A, AB, ABC
_NODES = (256, 2_000, 2_000)  # prefixes kept of each length
_CHILDREN = (256, 64, 32)  # and of each parent
_EXAMPLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Node:
    """A prefix, or what is left of one: ``codes`` prefixes with ``items`` items together, ``code`` -1.

    ``parent`` is a place in the list of nodes (-1: the root's). ``words`` set the items apart from the parent's others
    (see ``words.py``); ``example`` is a title. Both are untrusted text.
    """

    parent: int
    prefix: tuple[int, ...]
    items: int
    codes: int = 1
    words: tuple[str, ...] = ()
    example: str = ""

    @property
    def merged(self) -> bool:
        """Whether this stands for several prefixes."""
        return bool(self.prefix) and self.prefix[-1] < 0

    @property
    def name(self) -> str:
        """E.g. ``A17 B3``, or ``A17, 12 others``.

        >>> Node(0, (17, 3), 5).name, Node(1, (17, -1), 9, 1200).name, Node(-1, (), 99).name
        ('A17 B3', 'A17, 1,200 others', 'all items')
        """
        kept = self.prefix[:-1] if self.merged else self.prefix
        spelled = " ".join(f"{ascii_uppercase[level]}{code}" for level, code in enumerate(kept))
        if self.merged:
            return f"{spelled or 'all items'}, {self.codes:,} others"
        return spelled or "all items"


def sid_tree(learned_NL: NDArray[np.int32], titles: Sequence[str]) -> list[Node]:
    """Nodes, the root first, parents before children, and of each parent the largest child first, the others last.

    At most the 256 largest A, 2,000 AB and 2,000 ABC are kept, of one parent 64 AB and 32 ABC: some hundred kilobytes,
    however large the catalogue. What is left out is added up in one node a parent, so that items are never lost.
    """
    table = Titles(titles)
    n = len(learned_NL)
    nodes = [Node(-1, (), n, 1, (), "")]
    at = np.zeros(n, dtype=np.int64)  # each item's node at the depth above, -1 where that was not kept
    for depth, groups in enumerate(prefix_groups(learned_NL[:, :DEPTH])):
        sizes = np.bincount(groups)
        first = np.full(len(sizes), n, dtype=np.int64)
        np.minimum.at(first, groups, np.arange(n))
        parent = at[first]
        kept = _kept(sizes, parent, _CHILDREN[depth], _NODES[depth])
        place = np.full(len(sizes), -1, dtype=np.int64)
        place[kept] = np.arange(len(kept))
        words = table.telling(place[groups], parent[kept], at)
        fresh = [
            Node(
                int(parent[group]),
                tuple(learned_NL[first[group], : depth + 1].tolist()),
                int(sizes[group]),
                1,
                words[here],
                _cut(titles[int(first[group])]),
            )
            for here, group in enumerate(kept.tolist())
        ]
        start = len(nodes)
        nodes += fresh + _others(nodes, sizes, parent, place)
        at = np.where(place[groups] >= 0, start + place[groups], -1)
    return _in_order(nodes)


def tree_table(nodes: Sequence[Node]) -> pl.DataFrame:
    """prefix, codes (1, or how many were added up), items, degrees (of the full circle), words, example."""
    rows = [
        (node.name, node.codes, node.items, round(360 * node.items / nodes[0].items, 4), " ".join(node.words), node.example)
        for node in nodes[1:]
    ]
    schema = {
        "prefix": pl.String(),
        "codes": pl.Int64(),
        "items": pl.Int64(),
        "degrees": pl.Float64(),
        "words": pl.String(),
        "example": pl.String(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _kept(sizes: NDArray[np.int64], parent: NDArray[np.int64], children: int, most: int) -> NDArray[np.int64]:
    """Groups to keep, the largest first, of equals the lower prefix; only of parents that were kept."""
    order = np.lexsort((np.arange(len(sizes)), -sizes))
    order = order[parent[order] >= 0]
    by_parent = order[np.argsort(parent[order], kind="stable")]
    starts = np.flatnonzero(np.diff(parent[by_parent], prepend=-1))
    rank = np.arange(len(by_parent)) - np.repeat(starts, np.diff(np.append(starts, len(by_parent))))
    chosen = np.zeros(len(sizes), dtype=np.bool_)
    chosen[by_parent[rank < children]] = True
    return order[chosen[order]][:most]


def _others(nodes: Sequence[Node], sizes: NDArray[np.int64], parent: NDArray[np.int64], place: NDArray[np.int64]) -> list[Node]:
    left = np.flatnonzero((place < 0) & (parent >= 0))
    counts = np.bincount(parent[left], minlength=len(nodes))
    items = np.bincount(parent[left], weights=sizes[left], minlength=len(nodes))
    return [Node(at, (*nodes[at].prefix, -1), int(items[at]), int(counts[at])) for at in np.flatnonzero(counts).tolist()]


def _in_order(nodes: Sequence[Node]) -> list[Node]:
    children: dict[int, list[int]] = {}
    for at, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(at)
    ordered: list[Node] = []
    waiting = [(-1, 0)]
    while waiting:
        parent, at = waiting.pop()
        place = len(ordered)
        node = nodes[at]
        ordered.append(Node(parent, node.prefix, node.items, node.codes, node.words, node.example))
        inside = sorted(children.get(at, ()), key=lambda child: (nodes[child].merged, -nodes[child].items, nodes[child].prefix))
        waiting += [(place, child) for child in reversed(inside)]
    return ordered


def _cut(title: str) -> str:
    return title if len(title) <= _EXAMPLE_CHARS else title[: _EXAMPLE_CHARS - 1].rstrip() + "…"
