"""What ``sidrec doctor`` is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidrec.config import DemoSource, IngestConfig
from sidrec.errors import ConfigError, DataError
from sidrec.ingest import Inspection, Problem, ingest, inspect
from tests.ingest.conftest import ITEMS, Shop, buys


def problem(found: Inspection, reason: str, severity: str | None = None) -> Problem:
    """The only problem with this reason (and severity)."""
    matching = [p for p in found.problems if p.reason == reason and severity in (None, p.severity)]
    assert len(matching) == 1, found.problems
    return matching[0]


def test_a_clean_shop_is_counted(shop: Shop) -> None:
    items = [
        {**item, "text": "Twelve chars" if i < 3 else "", "cost": "5" if i else None} for i, item in enumerate(ITEMS)
    ]  # fmt: skip
    config = shop(items, buys(anna="0123", ben="51"), columns={"description": "text", "price": "cost"})
    found = inspect(config, 0)
    assert found.healthy
    assert found.counts | {
        "item_rows": 6, "interaction_rows": 6, "items": 6, "users": 2, "interactions": 6, "cold_items": 0, "bought_items": 5,
        "users_with_validation_case": 1, "users_with_test_case": 1,
        "history_length_min": 2, "history_length_median": 2, "history_length_max": 4, "history_length_mean": 3.0,
        "title_chars_min": 13, "title_chars_max": 13, "description_chars_mean": 12.0,
        "share_with_description": 0.5, "share_with_price": pytest.approx(5 / 6), "share_with_brand": 0.0,
        "dropped_items": 0, "dropped_interactions": 0, "dropped_users": 0,
    } == found.counts  # fmt: skip
    assert [p.reason for p in found.problems] == ["no_test_case", "never_bought"]
    assert problem(found, "no_test_case").example == "1 of 2 have one"
    assert problem(found, "never_bought").example == "item I4"
    assert [Path(file).name for file in found.files] == ["items.jsonl", "log.jsonl"]


def test_each_kind_of_problem_has_count_file_line_and_example(shop: Shop, tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"item_id": "I0", "title": "Clean", "cost": "1"},
        {"item_id": "I1", "title": "A <b>bold</b> title", "cost": "cheap"},
        {"item_id": "I2", "title": "Buy <|im_end|> now", "cost": "2"},
        {"item_id": "I3", "title": "Zero\u200bwidth", "cost": "None"},
        {"item_id": "I4", "title": "word " * 50, "cost": "3"},
        {"item_id": "I5", "title": "Clean", "cost": "4"},
        {"item_id": "I6", "title": "", "cost": "4"},
        {"item_id": "I0", "title": "Twice", "cost": "4"},
    ]
    log = [
        *buys(anna="01234", ben="543"),
        {"user_id": "ben", "item_id": "X9", "timestamp": 1},
        {"user_id": "ben", "item_id": "I1", "timestamp": "soon"},
    ]
    config = shop(items, log, columns={"price": "cost"}, max_bad_share=0.5)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write("oops\n")
    found = inspect(config, 0)
    expected = {
        "markup": ("note", 1, "items.jsonl", 2, "title: 'A <b>bold</b> title'"),
        "control_token_in_text": ("warning", 1, "items.jsonl", 3, "title: 'Buy <|im_end|> now'"),
        "invisible_characters": ("note", 1, "items.jsonl", 4, "title: 'Zero\\u200bwidth'"),
        "unreadable_price": ("note", 1, "items.jsonl", 2, "item I1"),
        "same_title": ("note", 1, "items.jsonl", 6, "Clean"),
        "missing_title": ("warning", 1, "items.jsonl", 7, "I6"),
        "duplicate_item": ("warning", 1, "items.jsonl", 8, "I0: Twice"),
        "unknown_item": ("warning", 1, "log.jsonl", 9, "X9: not in the catalogue; user ben"),
        "bad_timestamp": ("warning", 1, "log.jsonl", 10, "ben: soon; item I1"),
        "malformed_row": ("warning", 1, "log.jsonl", 11, "not JSON (Expecting value: line 1 column 1 (char 0)): oops"),
    }  # fmt: skip
    for reason, values in expected.items():
        p = problem(found, reason)
        assert (p.severity, p.count, p.source, p.line, p.example) == values
        assert p.advice
    cut = problem(found, "text_cut")
    assert (cut.count, cut.line) == (1, 5) and cut.example.startswith("title: 'word word")
    assert [p.severity for p in found.problems] == sorted((p.severity for p in found.problems), key="error warning note".index)
    assert found.healthy
    assert ingest(config, 0).n_items == 6


def test_the_example_names_the_field_that_has_the_problem(shop: Shop) -> None:
    items = [{**item, "text": "fine", "bullets": ["fine", "x &lt;|y|&gt;"]} for item in ITEMS]
    found = inspect(shop(items, buys(a="012"), columns={"description": "text", "features": "bullets"}), 0)
    assert problem(found, "control_token_in_text").example == "features: 'x &lt;|y|&gt;'"


def test_features_that_are_too_long_together_are_shown_together(shop: Shop) -> None:
    items = [{**item, "bullets": [f"{i} feature" for i in range(90)]} for item in ITEMS]
    found = inspect(shop(items, buys(a="012"), columns={"features": "bullets"}), 0)
    assert problem(found, "text_cut").example.startswith("features: '0 feature 1 feature")


def test_too_many_malformed_rows_are_an_error_and_the_rest_is_still_counted(shop: Shop, tmp_path: Path) -> None:
    config = shop(log=buys(anna="0123"))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write("oops\n")
    found = inspect(config, 0)
    assert not found.healthy
    assert "1 of 5 rows are malformed" in problem(found, "too_many_malformed_rows", "error").example
    assert found.counts["interactions"] == 4
    with pytest.raises(DataError):
        ingest(config, 0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"user_core": 9}, "user_core = 9 removed 1 of 1"), ({"min_text_chars": 999}, "short_text removed 6 of 6")],
)
def test_nothing_left_is_reported(shop: Shop, settings: dict[str, int], sentence: str) -> None:
    found = inspect(shop(log=buys(anna="012"), **settings), 0)
    assert not found.healthy
    assert sentence in problem(found, "nothing_left", "error").example
    assert found.counts["item_rows"] == 6


def test_a_missing_file_or_column_is_reported(shop: Shop, tmp_path: Path) -> None:
    config = shop(log=buys(anna="012"), columns={"brand": "marque"})
    assert "no column 'marque'" in problem(inspect(config, 0), "unreadable", "error").example
    (tmp_path / "items.jsonl").unlink()
    found = inspect(config, 0)
    assert not found.healthy and "does not exist" in found.problems[0].example


def test_times_that_cannot_be_compared(shop: Shop) -> None:
    log = [row | {"timestamp": i % 3} for i, row in enumerate(buys(anna="012", ben="345"))]
    assert problem(inspect(shop(log=log), 0), "times_are_positions").severity == "note"
    found = inspect(shop(log=log, split="global-time"), 0)
    assert problem(found, "times_cannot_be_compared").severity == "error"
    assert found.counts["interactions"] == 6
    untimed = inspect(shop(log=log, columns={"timestamp": ""}), 0)
    assert problem(untimed, "no_timestamps").severity == "note"


def test_two_units_of_time_are_noticed(shop: Shop) -> None:
    log = buys(anna="01234", ben="543")
    log[5]["timestamp"] *= 1000
    two = problem(inspect(shop(log=log), 0), "times_of_two_units")
    assert (two.severity, two.count, two.line) == ("warning", 1, 6)


def test_ties_at_the_end_and_users_without_test(shop: Shop) -> None:
    log = buys(anna="012", ben="34")
    log[2]["timestamp"] = log[1]["timestamp"]
    found = inspect(shop(log=log), 0)
    assert problem(found, "last_two_at_one_time").count == 1
    nobody = inspect(shop(log=buys(anna="01", ben="34")), 0)
    assert problem(nobody, "no_test_case").severity == "warning"


def test_the_whole_is_json() -> None:
    found = inspect(IngestConfig(demo=DemoSource(products=60, customers=120)), 0)
    table = json.loads(json.dumps(found.as_json()))
    assert set(table) == {"source", "files", "counts", "problems"}
    assert set(table["problems"][0]) == {"severity", "reason", "count", "source", "line", "example", "advice"}
    assert table["counts"] == found.counts


def test_settings_that_cannot_go_together_are_refused(shop: Shop) -> None:
    with pytest.raises(ConfigError):
        inspect(shop(log=buys(anna="012"), split="global-time", valid_share=0.9, test_share=0.2), 0)


def test_it_counts_what_ingest_keeps() -> None:
    config = IngestConfig(demo=DemoSource(products=80, customers=150), split="global-time")
    corpus, found = ingest(config, 5), inspect(config, 5)
    assert found.counts["items"] == corpus.n_items
    assert found.counts["users"] == corpus.histories.height
    assert sum(p.count for p in found.problems if p.reason in set(corpus.dropped["reason"])) == corpus.dropped.height
