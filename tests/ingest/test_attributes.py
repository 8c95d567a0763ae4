"""Further columns of the catalogue: typed once, cleaned, kept for filters, and told where they are not what they seem."""

from __future__ import annotations

import datetime
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from sidrec import columns as c
from sidrec.config import ColumnMap
from sidrec.configfile import parse_config
from sidrec.errors import ConfigError, DataError
from sidrec.ingest import ingest as make
from sidrec.ingest import inspect
from sidrec.ingest.attributes import as_attribute, attribute_type, odd_values
from sidrec.schemas import ATTRIBUTE_TYPES, ITEM_SCHEMA
from tests.ingest.conftest import ITEMS, Shop, buys

LIST = pl.List(pl.String())


@pytest.mark.parametrize(
    ("given", "kind", "typed"),
    [
        (["1", " 2.5", None, "", "N/A", "-3e2"], pl.Float64(), [1.0, 2.5, None, None, None, -300.0]),
        (["007", "12"], pl.String(), ["007", "12"]),  # a code, not a number
        (["1", "inf"], pl.String(), ["1", "inf"]),
        (["Yes", "NO", "-", None], pl.Boolean(), [True, False, None, None]),
        (["true", "maybe"], pl.String(), ["true", "maybe"]),
        (["['a', '<b>b</b>']", None, "[]"], LIST, [["a", "b"], None, []]),
        ([["a", None], None, []], LIST, [["a"], None, []]),
        ([True, None], pl.Boolean(), [True, None]),
        ([1, None], pl.Float64(), [1.0, None]),
        ([1.5, float("nan")], pl.Float64(), [1.5, None]),
        ([datetime.date(2024, 1, 2), None], pl.String(), ["2024-01-02", None]),
        (["<i>x</i> <|im_end|>", "<br>"], pl.String(), ["x < |im_end|>", None]),
        (["a " * 60], pl.String(), [("a " * 20)[:-1]]),
        ([None, None], pl.String(), [None, None]),
        ([{"a": 1}], pl.String(), ['{"a": 1}']),
    ],
)
def test_a_column_is_typed_by_all_its_values(given: list[Any], kind: pl.DataType, typed: list[Any]) -> None:
    values = pl.Series(given)
    assert attribute_type(values) == kind
    assert as_attribute(values, kind, 40).to_list() == typed
    assert as_attribute(values, kind, 40).dtype in ATTRIBUTE_TYPES


def test_a_later_value_of_another_kind_is_missing() -> None:
    """A catalogue that lives on keeps the types of its first day."""
    late = pl.Series(["12", "soon", "[]", "yes"])
    assert as_attribute(late, pl.Float64(), 40).to_list() == [12.0, None, None, None]
    assert as_attribute(late, pl.Boolean(), 40).to_list() == [None, None, None, True]
    assert as_attribute(late, LIST, 40).to_list() == [None, None, [], None]


def test_one_odd_value_is_told() -> None:
    assert odd_values(pl.Series(["1"] * 20 + ["about 3"])) == ("Float64", 1, "about 3")
    assert odd_values(pl.Series(["1"] * 20)) is None and odd_values(pl.Series(["a", "1"])) is None


def test_attributes_stand_behind_the_other_columns(shop: Shop) -> None:
    items = [
        {**item, "stock": i % 2 == 0, "raw_title": i, "who": f"<b>{i % 2}x</b>", "more": i} for i, item in enumerate(ITEMS)
    ]
    config = shop(items, buys(anna="012", ben="345"), columns={"attributes": ("who", "stock", "raw_title")})
    corpus = make(config, 0)
    assert corpus.items.columns == [*ITEM_SCHEMA, "who", "stock", "raw_title"]
    assert corpus.items["who"].to_list() == ["0x", "1x"] * 3 and corpus.items["stock"].to_list() == [True, False] * 3
    assert corpus.items["raw_title"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    plain = make(shop(items, buys(anna="012", ben="345")), 0)
    assert corpus.items.select(*ITEM_SCHEMA).equals(plain.items) and corpus.histories.equals(plain.histories)


def test_a_missing_column_is_one_sentence(shop: Shop) -> None:
    items = [{**item, "in_stock": True} for item in ITEMS]
    with pytest.raises(
        DataError, match=r"no column 'instock', which ingest\.tables\.columns\.attributes names; did you mean 'in_st"
    ):
        make(shop(items, buys(anna="012"), columns={"attributes": ("instock",)}), 0)


@pytest.mark.parametrize("name", [*ITEM_SCHEMA, c.POPULARITY, c.NOVELTY, "", "__line__"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is a name of sidrec's own"):
        ColumnMap(attributes=(name,))
    with pytest.raises(ConfigError, match=r"ingest\.tables\.columns\.attributes"):
        parse_config({"ingest": {"tables": {"columns": {"attributes": [name]}}}}, [])


def test_names_are_given_once() -> None:
    with pytest.raises(ValidationError, match="'a' is named twice"):
        ColumnMap(attributes=("a", "b", "a"))


def test_a_mapped_column_may_be_kept_too(shop: Shop) -> None:
    items = [{**item, "cost": "$5.00", "maker": "M"} for item in ITEMS]
    columns = {"price": "cost", "brand": "maker", "attributes": ("cost",)}
    corpus = make(shop(items, buys(anna="012"), columns=columns), 0)
    assert corpus.items["price"].to_list() == [5.0] * 6 and corpus.items["cost"].to_list() == ["$5.00"] * 6


def test_doctor_tells_of_one_odd_value(shop: Shop) -> None:
    items = [{"item_id": f"I{i}", "title": f"Item {i}", "stars": "4" if i else "four"} for i in range(20)]
    found = inspect(shop(items, buys(anna="012"), columns={"attributes": ("stars",)}), 0)
    assert [(p.reason, p.count, p.example) for p in found.problems if p.reason == "attribute_is_text"] == [
        ("attribute_is_text", 1, "stars: 'four'")
    ]
