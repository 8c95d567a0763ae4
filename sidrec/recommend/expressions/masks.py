"""What each condition means, and the check before that.

- Missing never matches a comparison: an item without a price is neither below 30 nor at least 30, and its brand is not
  "another than Acme". ``not`` then turns true and false around, so ``not price < 30`` takes in what has no price.
- Texts are compared without regard to case (``columns.fold``); ``<`` and its like go by character, which orders ISO dates.
- ``=`` compares whole texts; ``has`` whole entries of a list; ``contains`` looks anywhere inside.
"""

from __future__ import annotations

import difflib
from functools import reduce

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec.errors import ConfigError
from sidrec.recommend.expressions.columns import Column, FilterColumns, Kind, fold
from sidrec.recommend.expressions.syntax import And, Condition, Node, Not, Or, Test, Value, conditions, show_name, show_value
from sidrec.recommend.expressions.tokens import complain

_ORDERED: frozenset[Test] = frozenset({"=", "!=", "<", "<=", ">", ">=", "between", "in", "not in"})
_ALLOWED: dict[Kind, frozenset[Test]] = {
    "number": _ORDERED,
    "text": _ORDERED | {"contains"},
    "truth value": frozenset({"is true", "=", "!="}),
    "list": frozenset({"has", "contains"}),
}
_ANY: frozenset[Test] = frozenset({"is missing", "is not missing"})
_LISTED = 30  # column names in an error


def check(node: Node, columns: FilterColumns, text: str) -> None:
    """Refuse columns that do not exist and conditions that make no sense of their column; ``text`` is shown.

    Raises:
        ConfigError: says which, and what would do.
    """
    for condition in conditions(node):
        kind = columns.kinds.get(condition.column)
        if kind is None:
            raise complain(text, condition.at, f"no column {condition.column!r}{_known(condition.column, list(columns.kinds))}")
        if condition.test not in _ALLOWED[kind] | _ANY:
            raise complain(text, condition.at, _unfit(condition, kind))
        for value, at in zip(condition.values, condition.places, strict=True):
            if wrong := _wrong_value(condition, kind, value):
                raise complain(text, at, wrong)


def _known(name: str, known: list[str]) -> str:
    lower = {column.lower(): column for column in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    hint = f"; did you mean {show_name(lower[close[0]])}?" if close else ""
    shown = ", ".join(map(show_name, known[:_LISTED])) + (", ..." if len(known) > _LISTED else "")
    return f"{hint} (columns: {shown})"


def _unfit(condition: Condition, kind: Kind) -> str:
    name = show_name(condition.column)
    is_a = f"{name} is a {kind}"
    if condition.test == "is true":
        example = {"number": f"{name} >= 1", "text": f'{name} = "..."', "list": f'{name} has "..."'}[kind]
        return f"{is_a}: say what it should be, e.g. {example}"
    if kind == "list":
        return f'{is_a}: ask {name} has "...", or {name} contains "..." for a part of an entry'
    if condition.test == "has":
        return f"{is_a}, and 'has' asks a list: use = or {'contains' if kind == 'text' else '<'}"
    if kind == "truth value":
        return f"{is_a}: ask {name}, not {name} or {name} = true"
    return f"{is_a}, and {condition.test!r} asks a text"


def _wrong_value(condition: Condition, kind: Kind, value: Value) -> str:
    name = show_name(condition.column)
    wanted = {"number": float, "truth value": bool}.get(kind, str)
    if not isinstance(value, wanted) or (wanted is float and isinstance(value, bool)):
        found = "text" if isinstance(value, str) else "a truth value" if isinstance(value, bool) else "a number"
        said = f"{name} is a {kind}" if kind != "list" else f"the entries of {name} are texts"
        quoted = isinstance(value, str) and kind == "number" and value.strip().replace(".", "", 1).isdigit()
        return f"{said}; {show_value(value)} is {found}" + (": leave the quotes out" if quoted else "")
    if value == "" and condition.test != "contains":
        return f"an empty text is a missing one: {name} is missing"
    if value == "":
        return "every text contains the empty one"
    return ""


def mask(node: Node, columns: FilterColumns) -> NDArray[np.bool_]:
    """bool ``(N,)``; ``node`` has passed ``check``."""
    match node:
        case Condition():
            return _of_condition(node, columns.column(node.column))
        case Not(inner):
            return ~mask(inner, columns)
        case And(terms):
            return reduce(np.logical_and, (mask(term, columns) for term in terms))
        case Or(terms):
            return reduce(np.logical_or, (mask(term, columns) for term in terms))


def _of_condition(condition: Condition, column: Column) -> NDArray[np.bool_]:
    if condition.test in _ANY:
        return ~column.present if condition.test == "is missing" else column.present.copy()
    values = [fold(value) if isinstance(value, str) else value for value in condition.values]
    hits = _hits(condition.test, column.values, values).fill_null(False).to_numpy()
    if column.rows is None:
        return hits & column.present
    found = np.zeros(len(column.present), dtype=np.bool_)
    found[column.rows[hits]] = True
    return found


def _hits(test: Test, series: pl.Series, values: list[float | str | bool]) -> pl.Series:
    first = values[0] if values else True
    match test:
        case "is true":
            return series
        case "=" | "has":
            return series == first
        case "!=":
            return series != first
        case "<":
            return series < first
        case "<=":
            return series <= first
        case ">":
            return series > first
        case ">=":
            return series >= first
        case "between":
            return (series >= first) & (series <= values[1])
        case "in":
            return series.is_in(values)
        case "not in":
            return ~series.is_in(values)
        case "contains":
            return series.str.contains(str(first), literal=True)
        case _:
            raise ConfigError(f"{test!r} has no values")
