"""Every condition that a request sets, composed into one mask, and why together they may leave nothing.

Filters, an allow-list, a deny-list and what the shop has retired are one boolean an item; what a customer has bought is left
out by its index beside it. The search counts the two as one (``filters.Alive``), so no condition can be violated, and none
costs a result that another item could fill.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.errors import ConfigError, DataError
from sidrec.recommend.expressions import Filter, FilterColumns, Match
from sidrec.recommend.expressions.columns import fold
from sidrec.recommend.expressions.syntax import Condition, conditions, conjuncts, show, show_name, show_value

_PAIRS = 40  # conditions up to which every pair is tried, and alternatives that are tried as a cause at all
_SPELLINGS = 20_000  # different values of a column up to which the nearest one is looked for

_LISTED, _SHORT = 12, 30  # values, and characters of each, up to which all are named


@dataclass(frozen=True, slots=True)
class Part:
    """One condition in words, and the items that meet it: bool ``(N,)``."""

    text: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Eligibility:
    """Made by ``of``. ``mask``, bool ``(N,)``, is read-only, or ``None`` where nothing is asked: give the same array to all
    requests that ask the same, and the search counts it once.
    """

    columns: FilterColumns
    filters: tuple[Filter, ...]
    lists: tuple[Part, ...]
    mask: NDArray[np.bool_] | None

    @classmethod
    def of(
        cls,
        columns: FilterColumns,
        filters: Sequence[str] = (),
        *,
        allow: Collection[int] | None = None,
        deny: Collection[int] = (),
        min_novelty: float | None = None,
        offered: NDArray[np.bool_] | None = None,
    ) -> Eligibility:
        """Compose.

        Args:
            columns: of the catalogue.
            filters: texts of the filter language; all must hold.
            allow: the only items that may come out, by index; ``None``: all.
            deny: items that may not.
            min_novelty: bits; see ``expressions.columns.novelty``.
            offered: bool ``(N,)``: what is not retired.

        Raises:
            ConfigError: a filter is none, or asks a column something that makes no sense.
            DataError: a mask or an index is of another catalogue.
        """
        parsed = tuple(Filter.of(text, columns) for text in filters)
        if min_novelty is not None:
            if not math.isfinite(min_novelty):
                raise ConfigError(f"the least novelty is a number of bits, e.g. 8; found {min_novelty}")
            parsed += (Filter(Condition(c.NOVELTY, ">=", (float(min_novelty),)), columns),)
        lists: list[Part] = []
        if allow is not None:
            lists.append(Part("the allow-list", _at(allow, columns.n_items)))
        if len(deny):
            lists.append(Part("the deny-list", ~_at(deny, columns.n_items)))
        if offered is not None:
            if offered.shape != (columns.n_items,):
                raise DataError(f"{columns.n_items} items need as many truth values of what is offered, found {offered.shape}")
            lists.append(Part("not retired", offered))
        masks = [part.mask for part in lists] + [one.mask() for one in parsed]
        whole = reduce(np.logical_and, masks) if masks else None
        if whole is not None:
            whole = np.array(whole)  # of its own: a view of what the caller may still change is counted anew each time
            whole.setflags(write=False)
        return cls(columns, parsed, tuple(lists), whole)

    def parts(self, seen: Collection[int] = ()) -> Iterator[Part]:
        """Each condition alone: the sides of an ``and``, the lists, and ``seen`` (item indices) left out."""
        for one in self.filters:
            for node in conjuncts(one.node):
                yield Part(show(node), Filter(node, self.columns).mask())
        yield from self.lists
        if len(seen):
            yield Part("not bought before", ~_at(seen, self.columns.n_items))

    def matches(self, items: Sequence[int]) -> list[tuple[Match, ...]]:
        """For each item the conditions of the filters that it meets, and what the catalogue says of it."""
        told = [one.matches(items) for one in self.filters]
        return [tuple(match for found in told for match in found[row]) for row in range(len(items))]

    def why_so_few(self, seen: Collection[int] = ()) -> str:
        """A sentence on what each condition leaves, and, where all together leave nothing, which of them exclude each other.

        >>> shop = FilterColumns.of(pl.DataFrame({"price": [3.0, 8.0], "new": [False, True]}), np.array([1, 0]))
        >>> Eligibility.of(shop, ["price < 5 and new"]).why_so_few()
        'price < 5 leaves 1 of 2 items, new 1; both together leave none'
        """
        parts = list(self.parts(seen))
        n = self.columns.n_items
        if not n or not parts:
            return f"the catalogue has {n:,} items"
        for part in parts:
            if not part.mask.any():
                return f"{part.text} leaves none of {n:,} items{self._nearest(part.text)}"
        if reduce(np.logical_and, [part.mask for part in parts]).any():
            return f"{_counted(parts, n)}; all together leave {int(reduce(np.logical_and, [p.mask for p in parts]).sum()):,}"
        guilty = _guilty(parts)
        together = "both" if len(guilty) == 2 else "all"
        return f"{_counted(guilty, n)}; {together} together leave none"

    def _nearest(self, text: str) -> str:
        """Of a condition that no item meets: how the catalogue spells the value, or what it has there."""
        for one in self.filters:
            for node in conjuncts(one.node):
                if show(node) != text:
                    continue
                for leaf in conditions(node):
                    if hint := _there_is(leaf, self.columns):
                        return hint
        return ""


def _at(items: Collection[int], n: int) -> NDArray[np.bool_]:
    found = np.zeros(n, dtype=np.bool_)
    rows = np.fromiter(items, dtype=np.int64, count=len(items))
    if rows.size and (rows.min() < 0 or rows.max() >= n):
        raise DataError(f"item {rows[(rows < 0) | (rows >= n)][0]} is not in the catalogue of {n} items")
    found[rows] = True
    return found


def _counted(parts: Sequence[Part], n: int) -> str:
    first, *others = parts
    said = [f"{first.text} leaves {int(first.mask.sum()):,} of {n:,} items"]
    return ", ".join(said + [f"{part.text} {int(part.mask.sum()):,}" for part in others])


def _guilty(parts: Sequence[Part]) -> list[Part]:
    """As few conditions as leave nothing together: a pair if one does, else none of which can be left out."""
    if len(parts) <= _PAIRS:
        for pair in combinations(parts, 2):
            if not (pair[0].mask & pair[1].mask).any():
                return list(pair)
    needed = list(parts)
    for part in parts:
        others = [other for other in needed if other is not part]
        if not reduce(np.logical_and, [other.mask for other in others]).any():
            needed = others
    return needed


def _there_is(leaf: Condition, columns: FilterColumns) -> str:
    """What the catalogue has in the column of a condition that no item meets."""
    values, name = columns.frame[leaf.column], show_name(leaf.column)
    if columns.kinds[leaf.column] == "number":
        low, high = values.min(), values.max()
        return f" ({name} goes from {low:.6g} to {high:.6g})" if isinstance(low, float) and isinstance(high, float) else ""
    known = (values.explode() if columns.kinds[leaf.column] == "list" else values).drop_nulls().unique(maintain_order=True)
    if known.dtype != pl.String or not 0 < len(known) <= _SPELLINGS or leaf.test not in ("=", "has", "in"):
        return ""
    folded = {fold(text): text for text in known.to_list()}
    for value in leaf.values:
        if isinstance(value, str) and fold(value) not in folded:
            close = difflib.get_close_matches(fold(value), folded, n=1, cutoff=0.6)
            if close:
                return f"; did you mean {show_value(folded[close[0]])}?"
            if len(known) <= _LISTED and max(map(len, folded)) <= _SHORT:
                return f" ({name} is one of {', '.join(map(show_value, sorted(folded.values())))})"
    return ""
