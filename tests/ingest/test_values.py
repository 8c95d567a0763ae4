"""Values of unknown form."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from sidrec.ingest.values import as_ids, as_joined, as_lists, as_prices, as_text, as_times, list_column, parse_list


@pytest.mark.parametrize(
    ("series", "texts"),
    [
        (pl.Series(["a", None]), ["a", None]),
        (pl.Series([12, None]), ["12", None]),
        (pl.Series([12.0, 1.5, None, float("nan")]), ["12", "1.5", None, None]),
        (pl.Series([["a", "b"], None, []]), ["a b", None, ""]),
        (pl.Series([{"k": 1}, None]), ['{"k": 1}', None]),
        (pl.Series([None, None]), [None, None]),
        (pl.Series(["x"], dtype=pl.Categorical), ["x"]),
    ],
)
def test_as_text(series: pl.Series, texts: list[str | None]) -> None:
    assert as_text(series).to_list() == texts


def test_ids_lose_the_blanks_around_them() -> None:
    assert as_ids(pl.Series([" a ", "  ", None])).to_list() == ["a", None, None]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('["a", "b\\u00e9"]', ["a", "bé"]),
        ('[["a"], null, 3]', ["a", "3"]),
        ("['it\\'s', \"x, y\"]", ["it's", "x, y"]),
        ("[]", []),
        (" ['a'] ", ["a"]),
        ("[NEW] Dog bed", None),
        ("['a' 'b']", None),
        ("['a'] and ['b']", None),
        ("[" * 100_000 + "]" * 100_000, None),
        ("plain", None),
    ],
)
def test_parse_list(text: str, items: list[str] | None) -> None:
    assert parse_list(text) == items


def test_lists_from_lists_texts_of_lists_and_one_text() -> None:
    assert as_lists(pl.Series(["Pets > Cats", '["Pets", "Cats"]', "Pets &gt; Cats", None]), ">") == [
        ["Pets ", " Cats"], ["Pets", "Cats"], ["Pets ", " Cats"], [],
    ]  # fmt: skip
    assert as_lists(pl.Series(["Food &amp; Treats;Dry"]), ";") == [["Food & Treats", "Dry"]]
    assert as_lists(pl.Series(["a > b"])) == [["a > b"]]
    assert as_lists(pl.Series([["a", None], None])) == [["a"], []]
    nested = pl.Series([[["Pets", "Cats"], ["Home"]]])
    assert as_lists(nested, ">") == [["Pets", "Cats"]]
    assert as_lists(nested) == [["Pets", "Cats", "Home"]]


def test_paragraphs_become_one_text() -> None:
    assert as_joined(pl.Series(['["One.", "Two."]', "[x] three", None])).to_list() == ["One. Two.", "[x] three", None]


def test_list_column_is_the_same_as_the_slow_way() -> None:
    rows = [["a", "b"], [], ["c"], []]
    assert list_column(rows).to_list() == rows
    assert list_column([[], []]).to_list() == [[], []]
    assert list_column([]).dtype == pl.List(pl.String)


def test_prices() -> None:
    texts = ["19.99", "$1,299.00", "1.299,00 €", "12,50", "1,299", "from $5", "1.299.000 ₫", "US$ 7.-"]
    values, odd = as_prices(pl.Series(texts))
    assert values.to_list() == [19.99, 1299.0, 1299.0, 12.5, 1299.0, 5.0, 1299000.0, 7.0]
    assert not odd.any()


def test_no_price_and_an_unreadable_one_are_two_things() -> None:
    values, odd = as_prices(pl.Series(["None", "", None, "nan", "—", "cheap", "-3", "inf", "9" * 400 + " $"]))
    assert values.null_count() == 9
    assert odd.to_list() == [False] * 5 + [True] * 4
    assert as_prices(pl.Series([1.5, float("inf"), None]))[0].to_list() == [1.5, None, None]


@pytest.mark.parametrize(
    ("series", "times"),
    [
        (pl.Series([3, None]), [3, None]),
        (pl.Series(["3", " 4 ", "", "x", None]), [3, 4, None, None, None]),
        (pl.Series(["1600000000000000001"]), [1600000000000000001]),
        (pl.Series(["1.0", "2"]), [1, 2]),
        (pl.Series(["1.25", "2", "inf", "1e40"]), [1.25, 2.0, None, None]),
        (pl.Series([1.5, float("nan")]), [1.5, None]),
        (pl.Series(["1970-01-02", "1970-01-01T00:00:01.5Z", "1970/01/01 00:00:02", "soon"]), [86_400_000, 1500, 2000, None]),
        (pl.Series(["1970-01-01T01:00:00+01:00"]), [0]),
        (pl.Series([date(1970, 1, 2)]), [86_400_000]),
        (pl.Series([datetime(1970, 1, 1, 0, 0, 1)]), [1000]),
        (pl.Series([datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]), [1000]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_times(series: pl.Series, times: list[int | float | None]) -> None:
    assert as_times(series).to_list() == times


def test_most_rows_decide_whether_times_are_numbers_or_dates() -> None:
    assert as_times(pl.Series(["2020-01-01", "2020-01-02", "5"])).to_list() == [1577836800000, 1577923200000, None]
    assert as_times(pl.Series(["7", "8", "2020-01-02"])).to_list() == [7, 8, None]
