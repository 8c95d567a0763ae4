from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.config import EmbedConfig
from sidrec.embed import item_texts
from sidrec.errors import DataError
from sidrec.schemas import ITEM_SCHEMA


def item(**values: Any) -> dict[str, Any]:
    blank = {
        "item_id": "a",
        "title": "",
        "description": "",
        "features": [],
        "brand": "",
        "category": [],
        "price": 1.0,
        "cold": False,
    }
    return {**blank, **values}


def table(*items: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(items), schema=ITEM_SCHEMA)


def test_fields_in_the_order_of_the_config_one_a_line() -> None:
    lists = {"category": ["Pets", "Cats"], "features": ["tall", "", " soft "]}
    items = table(item(title="Cat tree", brand="Acme", description="For cats.", **lists))
    assert item_texts(items, EmbedConfig()) == ["Cat tree\nAcme\nPets > Cats\ntall; soft\nFor cats."]
    assert item_texts(items, EmbedConfig(fields=("description", "title"))) == ["For cats.\nCat tree"]


def test_an_empty_field_leaves_no_line() -> None:
    items = table(item(title="A"), item(title="B", description="C"))
    assert item_texts(items, EmbedConfig()) == ["A", "B\nC"]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(100, "red fish food"), (13, "red fish food"), (12, "red fish"), (8, "red fish"), (7, "red"), (2, "re")],
)
def test_cut_at_a_whole_word(limit: int, expected: str) -> None:
    assert item_texts(table(item(title="red fish food")), EmbedConfig(max_chars=limit)) == [expected]


@given(st.text(alphabet="ab \n\té本", min_size=1, max_size=40), st.integers(1, 30))
def test_never_too_long_and_always_a_start_of_the_text(title: str, limit: int) -> None:
    if not title.strip():
        return
    (text,) = item_texts(table(item(title=title)), EmbedConfig(fields=("title",), max_chars=limit))
    whole = title.strip()
    assert 1 <= len(text) <= limit
    assert whole.startswith(text)
    if text != whole and any(letter.isspace() for letter in whole[: limit + 1]):
        assert whole[len(text)].isspace(), "a word was cut"


def test_an_item_without_text_is_named() -> None:
    items = table(item(title="x"), item(item_id="B07", brand="Acme"), item(item_id="B08", title="  "))
    with pytest.raises(DataError, match=r"item 'B07' \(row 1\) has no text in title, description \(1 more are like it\)"):
        item_texts(items, EmbedConfig(fields=("title", "description")))
