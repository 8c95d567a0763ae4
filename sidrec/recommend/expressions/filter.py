"""A filter that fits a catalogue: parsed, checked, and ready to say which items pass, and why one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.recommend.expressions.columns import FilterColumns
from sidrec.recommend.expressions.masks import check, mask
from sidrec.recommend.expressions.parser import parse
from sidrec.recommend.expressions.syntax import And, Condition, Node, Not, Or, conditions, show


@dataclass(frozen=True, slots=True)
class Match:
    """One condition that an item fulfils, and what the catalogue says of it: ``price < 30``, 12.99."""

    condition: str
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Filter:
    """Made by ``Filter.of``."""

    node: Node
    columns: FilterColumns

    @classmethod
    def of(cls, text: str, columns: FilterColumns) -> Filter:
        """Parse and check.

        Raises:
            ConfigError: no filter, an unknown column, or a condition that makes no sense of its column.
        """
        node = parse(text)
        check(node, columns, text)
        return cls(node, columns)

    def __str__(self) -> str:
        return show(self.node)

    def mask(self) -> NDArray[np.bool_]:
        """bool ``(N,)``: the items that pass."""
        return mask(self.node, self.columns)

    def matches(self, items: Sequence[int]) -> list[tuple[Match, ...]]:
        """For each item the conditions that make it pass; none for an item that does not.

        Of an ``or`` those sides that hold; ``not (a or b)`` is told as ``not a`` and ``not b``.
        """
        few = self.columns.of_items(items)
        truth = {id(leaf): mask(leaf, few) for leaf in conditions(self.node)}
        return [tuple(_why(self.node, True, row, few, truth)) for row in range(len(items))]


def _why(node: Node, wanted: bool, row: int, few: FilterColumns, truth: dict[int, NDArray[np.bool_]]) -> list[Match]:
    """Why ``node`` is ``wanted``, true or false, of a row; empty where it is not."""
    match node:
        case Condition():
            if truth[id(node)][row] != wanted:
                return []
            return [Match(show(node if wanted else Not(node)), node.column, few.value(node.column, row))]
        case Not(inner):
            return _why(inner, not wanted, row, few, truth)
        case And(terms) | Or(terms):
            parts = [_why(term, wanted, row, few, truth) for term in terms]
            needs_all = isinstance(node, And) == wanted
            return [] if needs_all and not all(parts) else [match for part in parts for match in part]
