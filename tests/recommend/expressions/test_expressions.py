"""Filters: the text and the tree are one, the mask is what a reader of each row would say, and no text breaks them."""

from __future__ import annotations

import math
import time
import unicodedata
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidrec.errors import ConfigError, DataError
from sidrec.recommend.expressions import Filter, FilterColumns, show
from sidrec.recommend.expressions.parser import MAX_CONDITIONS, MAX_DEPTH, parse
from sidrec.recommend.expressions.syntax import And, Condition, Node, Not, Or
from sidrec.recommend.expressions.tokens import MAX_CHARS
from tests.recommend.expressions.trees import any_trees, catalogues, fitting_trees

ITEMS = pl.DataFrame(
    {
        "item_id": ["P0", "P1", "P2", "P3"],
        "title": ["Salmon pâté for cats", "Dog bed", "SALMON treats", "Fish flakes"],
        "brand": ["Acme", "Ursa & Sons", "", "acme"],
        "category": [["Pets", "Cats"], ["Pets", "Dogs"], ["Pets", "Cats"], []],
        "price": [12.99, 80.0, None, 3.5],
        "in_stock": [True, False, True, None],
        "released": ["2024-05-01", "2023-01-31", None, "2025-01-01"],
    }
)


@pytest.fixture(scope="module")
def shop() -> FilterColumns:
    return FilterColumns.of(ITEMS, np.array([5, 1, 0, 0]))


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("price < 30", [0, 3]),
        ("not price < 30", [1, 2]),  # what has no price is not below 30, so "not" takes it in
        ("price >= 30", [1]),
        ("price is missing", [2]),
        ("price is not missing and price != 80", [0, 3]),
        ("price between 3.5 and 12.99", [0, 3]),
        ("brand = 'ACME'", [0, 3]),
        ("brand != 'acme'", [1]),  # an empty brand is a missing one
        ("brand not in ('acme', 'x')", [1]),
        ("not brand in ('acme', 'x')", [1, 2]),
        ('brand in ("Acme", "ursa & sons")', [0, 1, 3]),
        ("category has 'cats'", [0, 2]),
        ("category has 'cat'", []),
        ("category contains 'cat'", [0, 2]),
        ("category is missing", [3]),
        ("title contains 'salmon'", [0, 2]),
        ("title contains 'pÂte\u0301'", [0]),  # decomposed and in capitals
        ("in_stock", [0, 2]),
        ("not in_stock", [1, 3]),
        ("in_stock = false", [1]),
        ("released >= '2024-01-01'", [0, 3]),
        ("popularity = 0", [2, 3]),
        ("novelty >= 2", [1, 2, 3]),
        ("in_stock and category has 'Cats' or price > 50", [0, 1, 2]),
        ("in_stock and (category has 'Dogs' or price > 50)", []),
        ("PRICE < 5", None),
    ],
)
def test_what_a_filter_lets_through(shop: FilterColumns, text: str, passing: list[int] | None) -> None:
    if passing is None:  # names of columns are exact, and say so
        with pytest.raises(ConfigError, match="did you mean price"):
            Filter.of(text, shop)
        return
    assert np.flatnonzero(Filter.of(text, shop).mask()).tolist() == passing


@pytest.mark.parametrize(
    ("text", "at", "sentence"),
    [
        ("price < 'cheap'", 9, 'price is a number; "cheap" is text'),
        ("price < '30'", 9, "leave the quotes out"),
        ("pricee < 3", 1, "no column 'pricee'; did you mean price?"),
        ("brand = Acme", 9, 'a text stands in quotes: "..."'),
        ("brand = 3", 9, "brand is a text; 3 is a number"),
        ("brand = true", 9, "brand is a text; true is a truth value"),
        ("price = true", 9, "price is a number; true is a truth value"),
        ("brand = ''", 9, "an empty text is a missing one: brand is missing"),
        ("title contains ''", 16, "every text contains the empty one"),
        ("category = 'Cats'", 1, 'category is a list: ask category has "..."'),
        ("brand has 'Acme'", 1, "'has' asks a list: use = or contains"),
        ("price contains 3", 1, "price is a number, and 'contains' asks a text"),
        ("price", 1, "price is a number: say what it should be, e.g. price >= 1"),
        ("in_stock > 1", 1, "in_stock is a truth value: ask in_stock"),
        ("", 1, "a column, 'not' or '(' is expected, not the end"),
        ("price <", 8, "a number, a text or true or false is expected, not the end"),
        ("price < 3 in_stock", 11, "'and', 'or' or the end is expected, not in_stock"),
        ("(price < 3", 11, "')' is expected, not the end"),
        ("price between 3 or 4", 17, "'and' is expected, not or"),
        ("in > 3", 1, "a column of that name stands in backticks"),
        ("'price' < 3", 1, "a column's name stands without quotes"),
        ("price < 3 && in_stock", 11, "'&' has no meaning here; write 'and'"),
        ("brand = “Acme”", 9, "straight quotes"),
        ("brand = 'Acme", 9, "this ' is not closed"),
        ("price < 3x", 9, "'3x' is no number"),
        ("price < 1e999", 9, "1e999 is too large a number"),
        ("price < 30 and not not", 23, "a column, 'not' or '(' is expected, not the end"),
        ("brand in ()", 11, "is expected, not )"),
    ],
)
def test_an_error_shows_the_place(shop: FilterColumns, text: str, at: int, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        Filter.of(text, shop)
    first, shown, caret = str(error.value).split("\n")
    assert first.startswith(f"filter, character {at}: ") and sentence in first
    assert shown == f"  {text}" and caret == " " * (at + 1) + "^"


def test_an_error_in_a_long_or_odd_text_shows_one_line(shop: FilterColumns) -> None:
    with pytest.raises(ConfigError) as error:
        Filter.of('price = "\x1b[2J\n"', shop)
    assert "\x1b" not in str(error.value) and len(str(error.value).split("\n")) == 3
    with pytest.raises(ConfigError) as error:
        Filter.of("price < 1 or " * 100 + "寿司\u202e\n = 1", shop)
    assert len(str(error.value).split("\n")) == 3 and "\u202e" not in str(error.value).split("\n")[1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a" * (MAX_CHARS + 1), "10,000 characters"),
        ("(" * (MAX_DEPTH + 2) + "a", "more than 50 brackets"),
        ("not " * (MAX_CHARS // 4), "more than 50 brackets"),
        (" or ".join(["a"] * (MAX_CONDITIONS + 1)), "201 conditions"),
        ("\0", "has no meaning here"),
        ('brand = "\ud800"', "character 10: half a character"),
    ],
)
def test_hostile_texts_are_refused_at_once(text: str, sentence: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigError, match=sentence):
        parse(text)
    assert time.process_time() - began < 0.5


@given(any_trees)
@example(Condition("price", "=", (-0.0,)))
def test_a_shown_tree_parses_to_itself(tree: Node) -> None:
    assert parse(show(tree)) == tree


@given(st.one_of(st.text(), st.lists(st.sampled_from(
    ["price", "brand", "<", "=", "and", "or", "not", "(", ")", "'a'", "3", ",", "in", "between", "is", "missing", "`", "has"]
)).map(" ".join)))  # fmt: skip
def test_any_text_is_a_filter_or_the_clear_error(text: str) -> None:
    shop = FilterColumns.of(ITEMS, np.array([5, 1, 0, 0]))
    try:
        found = Filter.of(text, shop).mask()
    except ConfigError as error:
        assert "\n" in str(error) or len(text) > MAX_CHARS
    else:
        assert found.shape == (4,) and found.dtype == np.bool_


def plain(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def one_row(node: Node, row: dict[str, Any]) -> bool:
    """The naive reader: a row at a time, no vectors."""
    if isinstance(node, Not):
        return not one_row(node.inner, row)
    if isinstance(node, And):
        return all(one_row(term, row) for term in node.terms)
    if isinstance(node, Or):
        return any(one_row(term, row) for term in node.terms)
    value, test = row[node.column], node.test
    missing = value is None or value in ("", []) or (isinstance(value, float) and math.isnan(value))
    if test.endswith("missing"):
        return missing == (test == "is missing")
    if missing:
        return False
    wanted = [plain(v) if isinstance(v, str) else v for v in node.values]
    if isinstance(value, list):
        entries = [plain(entry) for entry in value]
        return wanted[0] in entries if test == "has" else any(wanted[0] in entry for entry in entries)
    if isinstance(value, str):
        value = plain(value)
    return bool(
        {
            "is true": lambda: value,
            "=": lambda: value == wanted[0],
            "!=": lambda: value != wanted[0],
            "<": lambda: value < wanted[0],
            "<=": lambda: value <= wanted[0],
            ">": lambda: value > wanted[0],
            ">=": lambda: value >= wanted[0],
            "between": lambda: wanted[0] <= value <= wanted[1],
            "in": lambda: value in wanted,
            "not in": lambda: value not in wanted,
            "contains": lambda: wanted[0] in value,
        }[test]()
    )


@settings(max_examples=300)
@given(catalogues(), fitting_trees)
def test_a_mask_is_what_a_reader_of_each_row_says(shop: FilterColumns, tree: Node) -> None:
    found = Filter.of(show(tree), shop)
    rows = shop.frame.to_dicts()
    assert found.mask().tolist() == [one_row(tree, row) for row in rows]
    for passes, matches in zip(found.mask(), found.matches(range(len(rows))), strict=True):
        assert passes == bool(matches)


def test_matches_name_the_conditions_and_the_values(shop: FilterColumns) -> None:
    found = Filter.of("price < 30 and (category has 'Cats' or title contains 'flakes') and not (brand = 'x' or in_stock)", shop)
    told = [[(match.condition, match.value) for match in matches] for matches in found.matches([3, 0])]
    assert told == [
        [("price < 30", 3.5), ('title contains "flakes"', "Fish flakes"), ('not brand = "x"', "acme"), ("not in_stock", None)],
        [],
    ]
    assert Filter.of("category has 'cats'", shop).matches([2])[0][0].value == ["Pets", "Cats"]


def test_purchases_are_one_an_item() -> None:
    with pytest.raises(DataError, match="4 items need as many numbers of purchases"):
        FilterColumns.of(ITEMS, np.zeros(3, dtype=np.int64))


def test_an_empty_catalogue_has_an_empty_mask() -> None:
    assert Filter.of("price < 3 and category has 'x'", FilterColumns.of(ITEMS.clear(), np.empty(0, np.int64))).mask().shape == (
        0,
    )
