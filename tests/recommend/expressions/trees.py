"""Hypothesis strategies: small catalogues, and filters that make sense of their columns."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import strategies as st

from sidrec.recommend.expressions import FilterColumns
from sidrec.recommend.expressions.syntax import And, Condition, Node, Not, Or

WORDS = ["Acme", "acme", "Straße", "STRASSE", "Cats", "CATS & dogs", "café", 'a "b"', "back\\slash", "ΟΔΟΣ", "x"]
words = st.sampled_from(WORDS)
numbers = st.sampled_from([-1.0, 0.0, 0.1, 1.0, 2.5, 3.0, 1e22])
names = st.sampled_from(["brand", "category", "price", "in_stock"])

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
any_values = st.one_of(texts, st.floats(allow_nan=False, allow_infinity=False), st.booleans())
any_names = st.one_of(texts, st.sampled_from(["in", "NOT", "price", "Größe", "a`b", "x y"]))


def _trees(leaves: st.SearchStrategy[Condition]) -> st.SearchStrategy[Node]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(Not),
            st.lists(inner, min_size=2, max_size=3).map(lambda terms: And(tuple(terms))),
            st.lists(inner, min_size=2, max_size=3).map(lambda terms: Or(tuple(terms))),
        ),
        max_leaves=8,
    )


@st.composite
def any_condition(draw: st.DrawFn) -> Condition:
    """Of any column, whether it makes sense or not."""
    column = draw(any_names)
    test = draw(st.sampled_from(["is true", "=", "!=", "<", ">=", "between", "in", "not in", "has", "contains", "is missing"]))
    least, most = {"is true": (0, 0), "is missing": (0, 0), "between": (2, 2), "in": (1, 3), "not in": (1, 3)}.get(test, (1, 1))
    return Condition(column, test, tuple(draw(st.lists(any_values, min_size=least, max_size=most))))


@st.composite
def fitting_condition(draw: st.DrawFn) -> Condition:
    """Of the columns of ``catalogues``."""
    column = draw(names)
    ordered = ["=", "!=", "<", "<=", ">", ">=", "between", "in", "not in"]
    tests, values = {
        "brand": ([*ordered, "contains"], words),
        "category": (["has", "contains"], words),
        "price": (ordered, numbers),
        "in_stock": (["is true", "=", "!="], st.booleans()),
    }[column]
    test = draw(st.sampled_from([*tests, "is missing", "is not missing"]))
    count = {"is true": 0, "is missing": 0, "is not missing": 0, "between": 2, "in": 2, "not in": 2}.get(test, 1)
    return Condition(column, test, tuple(draw(st.lists(values, min_size=count, max_size=count))))


any_trees = _trees(any_condition())
fitting_trees = _trees(fitting_condition())


@st.composite
def catalogues(draw: st.DrawFn) -> FilterColumns:
    rows = draw(
        st.lists(
            st.tuples(
                st.one_of(st.none(), st.just(""), words),
                st.one_of(st.none(), st.lists(words, max_size=3)),
                st.one_of(st.none(), st.just(float("nan")), numbers),
                st.one_of(st.none(), st.booleans()),
            ),
            max_size=8,
        )
    )
    schema = {"brand": pl.String(), "category": pl.List(pl.String()), "price": pl.Float64(), "in_stock": pl.Boolean()}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return FilterColumns.of(frame, np.arange(frame.height))
