"""``sidrec init``: columns guessed from strangers' tables, and the config that comes of it."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sidrec.config import ColumnMap, IngestConfig, TablesSource
from sidrec.configfile import load_config, parse_config
from sidrec.errors import DataError
from sidrec.ingest import TablesGuess, config_toml, guess_tables, ingest
from tests.ingest.conftest import ITEMS, WriteTable, buys, write_rows


def guessed(folder: Path, items: list[dict[str, Any]], log: list[dict[str, Any]], ending: str = ".csv") -> TablesGuess:
    return guess_tables(write_rows(folder / f"catalogue{ending}", items), write_rows(folder / f"orders{ending}", log))


def test_usual_names_are_known(tmp_path: Path) -> None:
    items = [
        {"Product ID": f"P{i}", "Product Name": f"Thing {i}", "Desc": "x" * 99, "Bullets": "a", "Manufacturer": "M",
         "Categories": "Pets | Dogs", "List Price": "$5.00", "rating": 4.5}
        for i in range(20)
    ]  # fmt: skip
    log = [
        {"order": i, "customerId": f"c{i % 5}", "productId": f"P{i % 20}", "createdAt": 1_600_000_000 + i} for i in range(60)
    ]
    guess = guessed(tmp_path, items, log)
    assert guess.columns == ColumnMap(
        item_id="Product ID", title="Product Name", description="Desc", features="Bullets", brand="Manufacturer",
        category="Categories", price="List Price", user_id="customerId", interaction_item_id="productId", timestamp="createdAt",
        attributes=("rating",),
    )  # fmt: skip
    assert guess.category_separator == "|"
    id_reason = "called so, and 100% of the first values of 'productId' in orders.csv are in it"
    assert f"item_id = 'Product ID': {id_reason}" in guess.reasons
    assert "price = 'List Price': called so, e.g. '$5.00'" in guess.reasons
    assert "attributes has 'rating': numbers, for filters, e.g. '4.5'" in guess.reasons
    # One reason for each field, for the id in the other table, for the separator, and for the attribute.
    assert len(guess.reasons) == 12


def test_where_names_say_nothing_the_content_does(tmp_path: Path) -> None:
    pick = random.Random(0)
    items = [
        {"c1": f"art-{i}", "c2": f"A fine thing for pets, number {i}", "c3": "Long text. " * 20 + str(i), "c4": i % 3}
        for i in range(60)
    ]
    log = [
        {"x1": f"art-{pick.randrange(60)}", "x2": f"k{pick.randrange(40)}", "x3": f"2024-05-{i % 28 + 1:02}", "x4": i % 5}
        for i in range(300)
    ]
    guess = guessed(tmp_path, items, log)
    assert guess.columns == ColumnMap(
        item_id="c1", title="c2", description="c3", user_id="x2", interaction_item_id="x1", timestamp="x3", attributes=("c4",)
    )
    assert "features is empty: no column is called so" in guess.reasons


def test_the_ids_that_both_tables_share_win_over_better_names(tmp_path: Path) -> None:
    items = [{"item_id": i, "parent_asin": f"B{i}", "asin": f"X{i}", "title": f"Thing {i}"} for i in range(9)]
    log = [{"asin": f"Y{i}", "parent_asin": f"B{i % 9}", "user_id": f"u{i % 4}", "timestamp": 1e9 + i} for i in range(30)]
    guess = guessed(tmp_path, items, log, ".jsonl")
    assert (guess.columns.item_id, guess.columns.interaction_item_id) == ("parent_asin", "")
    assert guess.columns.timestamp == "timestamp"


def test_without_times_the_order_of_the_file_is_taken(tmp_path: Path) -> None:
    log = [{"user_id": row["user_id"], "item_id": row["item_id"], "time": "later"} for row in buys(anna="012", ben="345")]
    guess = guessed(tmp_path, list(ITEMS), log)
    assert guess.columns.timestamp == ""
    assert guess.reasons[-1] == "timestamp is empty: no column has times; the order of the file is taken"


@pytest.mark.parametrize(
    ("items", "log", "sentence"),
    [
        (
            [{"id": "1", "title": "x"}],
            [{"id": "2", "user": "u"}],
            r"item ids\? No column of .* \(id: '2', user: 'u'\) .* \(id: '1', title: 'x'\)",
        ),
        (
            [{"item_id": str(i), "title": "x"} for i in range(9)],
            [{"user_id": "u", "item_id": f"B{i}", "timestamp": i} for i in range(9)],
            r"No column of .*item_id: 'B0'",  # the timestamps are ids only by accident
        ),
        ([{"id": "1", "n": 5}], [{"id": "1", "user": "u"}], "no column that could be a title; columns: id, n"),
        ([{"id": "1", "title": "x"}], [{"id": "1", "stars": 5}], "no column that could be a customer id; columns: id, stars"),
    ],
)
def test_what_cannot_be_guessed_is_said(tmp_path: Path, items: Any, log: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        guessed(tmp_path, items, log)


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv", ".jsonl", ".parquet"])
def test_the_written_config_reads_the_tables(tmp_path: Path, ending: str) -> None:
    shop = tmp_path / "shop data"
    shop.mkdir()
    items = [{"sku": f"S{i}", "name": f"Name {i}", "genre": "Pets::Cats", "price": 1.5} for i in range(6)]
    log = [
        {"sku": row["item_id"].replace("I", "S"), "user": row["user_id"], "ts": row["timestamp"]}
        for row in buys(a="0123", b="45")
    ]
    text = config_toml(guessed(shop, items, log, ending), "my shop!", relative_to=tmp_path)
    (tmp_path / "my.toml").write_text(text, "utf-8")
    config = load_config(tmp_path / "my.toml", ["ingest.user_core=1"])
    assert (config.name, config.ingest.source, config.ingest.tables.category_separator) == ("my-shop", "tables", "::")
    assert tomllib.loads(text)["ingest"]["tables"]["folder"] == "shop data"
    corpus = ingest(config.ingest, 0)
    assert corpus.items["category"].to_list()[0] == ["Pets", "Cats"]
    assert corpus.histories["items"].to_list() == [[0, 1, 2, 3], [4, 5]]


def test_each_key_has_its_comment_and_its_default(tmp_path: Path) -> None:
    text = config_toml(guessed(tmp_path, list(ITEMS), buys(anna="012345")), "shop", relative_to=tmp_path)
    lines = text.splitlines()
    for model in (IngestConfig, TablesSource, ColumnMap):
        for key, field in model.model_fields.items():
            at = [i for i, line in enumerate(lines) if line.startswith(f"{key} = ")]
            if key in ("demo", "tables", "amazon", "columns"):
                assert at == []
            else:
                comment = next(i for i in range(at[0], 0, -1) if lines[i - 1][:1] != "#")
                said = " ".join(line.removeprefix("# ") for line in lines[comment : at[0]])
                assert said.endswith(field.description or "?")
    defaults = IngestConfig().model_dump(exclude={"source", "tables"})
    assert parse_config(tomllib.loads(text)).ingest.model_dump(exclude={"source", "tables"}) == defaults
    assert max(map(len, lines)) <= 128


def test_folders_are_relative_where_that_is_short(tmp_path: Path, write_table: WriteTable) -> None:
    items, log = tmp_path / "a" / "items.jsonl", tmp_path / "b" / "log.jsonl"
    for path, rows in ((items, list(ITEMS)), (log, buys(anna="012"))):
        path.parent.mkdir()
        write_rows(path, rows)
    guess = guess_tables(items, log)

    def tables(relative_to: Path) -> dict[str, str]:
        return tomllib.loads(config_toml(guess, "x", relative_to=relative_to))["ingest"]["tables"]

    assert (tables(tmp_path)["folder"], tables(tmp_path)["items"], tables(tmp_path)["interactions"]) == (
        ".", "a/items.jsonl", "b/log.jsonl",
    )  # fmt: skip
    assert tables(tmp_path / "configs")["folder"] == ".."
    assert tables(tmp_path / "1" / "2" / "3")["folder"] == str(tmp_path)


def test_hostile_names_stay_inside_their_comment_and_string(tmp_path: Path) -> None:
    name = 'na"me\n[train]\x7f'
    items = [{"item_id": f"I{i}", name: f"A title of some length {i}"} for i in range(6)]
    guess = guessed(tmp_path, items, buys(anna="012345"), ".jsonl")
    table = tomllib.loads(config_toml(guess, "../x\ny", relative_to=tmp_path))
    assert table["ingest"]["tables"]["columns"]["title"] == name
    assert table["name"] == "..-x-y"
    assert set(table) == {"name", "seed", "ingest", "converse", "train"} and set(table["train"]) == {"full"}


def test_real_tables(shared_data: Path) -> None:
    folder = shared_data / "data" / "beauty"
    guess = guess_tables(folder / "items.jsonl", folder / "interactions.csv")
    assert guess.columns == ColumnMap()
