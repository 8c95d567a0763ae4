"""The tree of a parsed filter, and the tree as text again: ``parse(show(tree)) == tree``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

Value = float | str | bool
Test = Literal[
    "is true", "=", "!=", "<", "<=", ">", ">=", "between", "in", "not in", "has", "contains", "is missing", "is not missing"
]  # fmt: skip
COMPARISONS: Final[tuple[Test, ...]] = ("<=", ">=", "!=", "=", "<", ">")
# The words of values too, so that no column is taken for one of them.
KEYWORDS: Final = frozenset({"and", "or", "not", "in", "has", "contains", "between", "is", "missing", "true", "false"})


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of one column; ``is true`` is the column alone (``in_stock``).

    ``between`` has two values, ``in`` and ``not in`` one or more, comparisons, ``has`` and ``contains`` one. ``at`` and
    ``places`` say where the column and the values stand in the text, from 0; they are not compared.
    """

    column: str
    test: Test = "is true"
    values: tuple[Value, ...] = ()
    at: int = field(default=0, compare=False)
    places: tuple[int, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """``not x``."""

    inner: Node


@dataclass(frozen=True, slots=True)
class And:
    """``x and y and ...``: two or more."""

    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """``x or y or ...``: two or more."""

    terms: tuple[Node, ...]


Node = Condition | Not | And | Or


def conditions(node: Node) -> Iterator[Condition]:
    """The leaves, from left to right."""
    match node:
        case Condition():
            yield node
        case Not(inner):
            yield from conditions(inner)
        case And(terms) | Or(terms):
            for term in terms:
                yield from conditions(term)


def conjuncts(node: Node) -> tuple[Node, ...]:
    """The parts that must all hold: of ``a and (b and c)`` the three.

    >>> [show(part) for part in conjuncts(And((Condition("a"), And((Condition("b"), Condition("c"))))))]
    ['a', 'b', 'c']
    """
    if isinstance(node, And):
        return tuple(part for term in node.terms for part in conjuncts(term))
    return (node,)


def show(node: Node) -> str:
    """The text of a tree, in one spelling.

    >>> show(And((Condition("price", "<", (30.0,)), Not(Condition("in stock")))))
    'price < 30 and not `in stock`'
    """
    match node:
        case Condition():
            return f"{show_name(node.column)}{_asked(node)}"
        case Not(inner):
            return f"not {_inside(inner, (And, Or))}"
        case And(terms):
            return " and ".join(_inside(term, (And, Or)) for term in terms)
        case Or(terms):
            return " or ".join(_inside(term, (Or,)) for term in terms)


def _inside(node: Node, in_brackets: tuple[type, ...]) -> str:
    return f"({show(node)})" if isinstance(node, in_brackets) else show(node)


def _asked(condition: Condition) -> str:
    shown = [show_value(value) for value in condition.values]
    match condition.test:
        case "is true":
            return ""
        case "between":
            return f" between {' and '.join(shown)}"
        case "in" | "not in":
            return f" {condition.test} ({', '.join(shown)})"
        case _:
            return " ".join(("", condition.test, *shown))


def show_value(value: Value) -> str:
    """A value as it is written in a filter.

    >>> show_value(30.0), show_value('6" pipe'), show_value(True)
    ('30', '"6\\\\" pipe"', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value).removesuffix(".0")


def show_name(column: str) -> str:
    """A column's name; in backticks where it is no plain word.

    >>> show_name("price"), show_name("in stock"), show_name("in")
    ('price', '`in stock`', '`in`')
    """
    plain = column.isidentifier() and re.fullmatch(r"\w+", column) and unicodedata.is_normalized("NFC", column)
    if plain and column.lower() not in KEYWORDS:
        return column
    return f"`{column.replace('`', '``')}`"
