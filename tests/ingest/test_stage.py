"""From files to a corpus: what stays, what goes and why."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from sidrec import columns as c
from sidrec.config import ColumnMap, DemoSource, IngestConfig, TablesSource
from sidrec.errors import ConfigError, DataError
from sidrec.ingest import ingest, source_files
from sidrec.types import Corpus
from tests.ingest.conftest import ITEMS, Shop, WriteTable, buys


def dropped(corpus: Corpus, kind: str | None = None) -> list[tuple[Any, ...]]:
    """(kind, reason, line, key, detail) of each dropped row."""
    rows = corpus.dropped.select(c.KIND, c.REASON, c.LINE, c.KEY, c.DETAIL).rows()
    return [row for row in rows if kind in (None, row[0])]


def histories(corpus: Corpus) -> dict[str, list[str]]:
    """User -> ids of the items bought."""
    ids = corpus.items[c.ITEM_ID].to_list()
    return {user: [ids[i] for i in items] for user, items in corpus.histories.select(c.USER_ID, c.ITEMS).rows()}


def test_a_clean_shop_passes_through(shop: Shop) -> None:
    corpus = ingest(shop(log=buys(ben="210", anna="3455")), 0)
    assert histories(corpus) == {"anna": ["I3", "I4", "I5", "I5"], "ben": ["I2", "I1", "I0"]}
    assert corpus.items[c.ITEM_ID].to_list() == [item["item_id"] for item in ITEMS]
    assert corpus.histories[c.TIMES].to_list()[1] == [1_600_000_000, 1_600_086_400, 1_600_172_800]
    assert dropped(corpus) == []


def test_items_are_left_out_with_their_reason(shop: Shop) -> None:
    items = [
        {"item_id": "I0", "title": "Good"},
        {"item_id": None, "title": "No id"},
        {"item_id": "I1", "title": "<br>"},
        {"item_id": "I2"},
        {"item_id": "I0", "title": "Again"},
        {"item_id": "I1", "title": "Now with a title"},
        {"item_id": "I3", "title": "Tiny"},
    ]
    corpus = ingest(shop(items, buys(anna="01")), 0)
    assert corpus.items[c.TITLE].to_list() == ["Good", "Now with a title", "Tiny"]
    assert dropped(corpus, "item") == [
        ("item", "missing_item_id", 2, "", "No id"),
        ("item", "missing_title", 3, "I1", "<br>"),
        ("item", "missing_title", 4, "I2", ""),
        ("item", "duplicate_item", 5, "I0", "Again"),
    ]
    short = ingest(shop(items, buys(anna="1"), min_text_chars=5), 0)
    assert ("item", "short_text", 7, "I3", "4 characters: Tiny") in dropped(short)


def test_purchases_are_left_out_with_their_reason(shop: Shop) -> None:
    log: list[dict[str, Any]] = [
        {"user_id": "anna", "item_id": "I0", "timestamp": 1},
        {"user_id": "", "item_id": "I0", "timestamp": 1},
        {"user_id": "anna", "item_id": " ", "timestamp": 1},
        {"user_id": "anna", "item_id": "X9", "timestamp": 1},
        {"user_id": "anna", "item_id": "I1", "timestamp": "soon"},
        {"user_id": "anna", "item_id": "I1", "timestamp": None},
        {"user_id": "anna", "item_id": "I0", "timestamp": 1},
        {"user_id": "anna", "item_id": "I0", "timestamp": 2},
        {"user_id": "anna", "item_id": "I7", "timestamp": 2},
    ]
    corpus = ingest(shop([*ITEMS, {"item_id": "I7", "title": ""}], log), 0)
    assert histories(corpus) == {"anna": ["I0", "I0"]}
    assert dropped(corpus, "interaction") == [
        ("interaction", "missing_user_id", 2, "I0", ""),
        ("interaction", "missing_item_id", 3, "anna", "user anna"),
        ("interaction", "unknown_item", 4, "X9", "not in the catalogue; user anna"),
        ("interaction", "unknown_item", 9, "I7", "missing_title; user anna"),
        ("interaction", "bad_timestamp", 5, "anna", "soon; item I1"),
        ("interaction", "bad_timestamp", 6, "anna", "empty; item I1"),
        ("interaction", "duplicate_interaction", 7, "anna", "1; item I0"),
    ]
    assert set(corpus.dropped[c.SOURCE]) == {"items.jsonl", "log.jsonl"}


def test_malformed_rows_are_kept_as_dropped_and_refused_past_a_share(shop: Shop, tmp_path: Path) -> None:
    config = shop(log=buys(anna="0123"), max_bad_share=0.2)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"user_id": "anna"\n')
    corpus = ingest(config, 0)
    assert [row[:4] for row in dropped(corpus)] == [("interaction", "malformed_row", 5, "")]
    strict = config.model_copy(update={"max_bad_share": 0.19})
    with pytest.raises(DataError, match=r"log\.jsonl: 1 of 5 rows are malformed \(20\.0%.*the first is line 5: not JSON"):
        ingest(strict, 0)
    with (tmp_path / "items.jsonl").open("a") as file:
        file.write("oops\noops\n")
    with pytest.raises(DataError, match=r"items\.jsonl: 2 of 8 rows are malformed.*the first is line 7"):
        ingest(config, 0)


def test_the_core_removes_users_and_says_so(shop: Shop) -> None:
    corpus = ingest(shop(log=buys(anna="012", ben="34", cleo="5"), user_core=3), 0)
    assert histories(corpus) == {"anna": ["I0", "I1", "I2"]}
    assert corpus.n_items == 6
    assert dropped(corpus) == [
        ("user", "user_core", None, "ben", "2 purchases left"),
        ("user", "user_core", None, "cleo", "1 purchases left"),
        ("interaction", "user_core", 4, "ben", "2 left, user_core = 3; item I3"),
        ("interaction", "user_core", 5, "ben", "2 left, user_core = 3; item I4"),
        ("interaction", "user_core", 6, "cleo", "1 left, user_core = 3; item I5"),
    ]


def test_with_item_core_items_go_too(shop: Shop) -> None:
    corpus = ingest(shop(log=buys(anna="012", ben="013", cleo="24"), user_core=2, item_core=2), 0)
    assert histories(corpus) == {"anna": ["I0", "I1"], "ben": ["I0", "I1"]}
    assert corpus.items[c.ITEM_ID].to_list() == ["I0", "I1"]
    reasons = [(row[0], row[1], row[3]) for row in dropped(corpus)]
    # I2 is bought twice, but only once when Cleo, left with one purchase, is gone.
    assert [row for row in reasons if row[0] == "item"] == [("item", "item_core", f"I{i}") for i in range(2, 6)]
    assert ("user", "user_core", "cleo") in reasons
    assert sorted(row for row in reasons if row[0] == "interaction") == [
        ("interaction", "item_core", "I2"),
        ("interaction", "item_core", "I3"),
        ("interaction", "item_core", "I4"),
        ("interaction", "user_core", "cleo"),
    ]


def test_the_most_bought_items_stay(shop: Shop) -> None:
    corpus = ingest(shop(log=buys(anna="553", ben="533", cleo="01"), max_items=3), 0)
    # I5 and I3 are bought three times; of I0 and I1, once each, the first id stays.
    assert corpus.items[c.ITEM_ID].to_list() == ["I0", "I3", "I5"]
    assert histories(corpus) == {"anna": ["I5", "I5", "I3"], "ben": ["I5", "I3", "I3"], "cleo": ["I0"]}
    assert ("item", "max_items", 2, "I1", "bought 1 times") in dropped(corpus)
    assert ("interaction", "max_items", 8, "I1", "user cleo") in dropped(corpus)


def test_users_are_drawn_whatever_the_order_of_the_rows(shop: Shop) -> None:
    log = buys(**{f"user{i}": "012" for i in range(20)})
    corpus = ingest(shop(log=log, max_users=5), 0)
    again = ingest(shop(log=log[::-1], max_users=5), 0)
    other = ingest(shop(log=log, max_users=5), 1)
    assert corpus.histories.height == 5
    assert histories(again) == histories(corpus)
    assert set(histories(other)) != set(histories(corpus))
    reasons = corpus.dropped.group_by(c.KIND, c.REASON).len().rows()
    assert sorted(reasons) == [("interaction", "max_users", 45), ("user", "max_users", 15)]


def test_only_the_latest_purchases_stay(shop: Shop) -> None:
    corpus = ingest(shop(log=buys(anna="01234", ben="5"), max_history=3), 0)
    assert histories(corpus) == {"anna": ["I2", "I3", "I4"], "ben": ["I5"]}
    assert dropped(corpus) == [
        ("interaction", "history_cap", 1, "anna", "item I0"),
        ("interaction", "history_cap", 2, "anna", "item I1"),
    ]


def test_histories_are_in_time_order_and_ties_in_the_order_of_the_file(shop: Shop) -> None:
    times = [("I3", 5), ("I1", 5), ("I2", 4), ("I0", 5), ("I4", 4.5)]
    log = [{"user_id": "anna", "item_id": item, "timestamp": time} for item, time in times]
    corpus = ingest(shop(log=log), 0)
    assert histories(corpus) == {"anna": ["I2", "I4", "I3", "I1", "I0"]}
    assert corpus.histories[c.TIMES].to_list() == [[4, 4, 5, 5, 5]]


def test_without_a_time_column_the_order_of_the_file_is_the_time(shop: Shop) -> None:
    log = buys(anna="31", ben="2") + buys(anna="3")
    corpus = ingest(shop(log=log, columns={"timestamp": ""}), 0)
    assert histories(corpus) == {"anna": ["I3", "I1", "I3"], "ben": ["I2"]}
    assert corpus.histories[c.TIMES].to_list() == [[0, 1, 3], [2]]


def test_cold_items_depend_on_their_id_and_the_seed_alone(shop: Shop) -> None:
    items = [{"item_id": f"I{i}", "title": f"Item {i}"} for i in range(400)]
    cold = {
        row[c.ITEM_ID] for row in ingest(shop(items, buys(anna="0"), cold_share=0.25), 7).items.rows(named=True) if row[c.COLD]
    }
    expected = {
        item["item_id"]
        for item in items
        if int.from_bytes(hashlib.sha256(f"7:{item['item_id']}".encode()).digest()[:8], "big") / 2**64 < 0.25
    }
    assert cold == expected
    assert 70 < len(cold) < 130
    random.Random(0).shuffle(items)
    shuffled = ingest(shop(items, buys(anna="0"), cold_share=0.25), 7)
    assert set(shuffled.items.filter(shuffled.items[c.COLD])[c.ITEM_ID]) == cold


_NO_TITLE = [{"item_id": "I0", "title": ""}] * 2
_STRANGE = [{"user_id": "a", "item_id": "X9", "timestamp": 1}] * 3


@pytest.mark.parametrize(
    ("items", "log", "settings", "sentence"),
    [
        (_NO_TITLE, buys(a="0"), {}, r"0 items are left: missing_title removed 2 of 2, first items\.jsonl line 1 'I0'"),
        (ITEMS, _STRANGE, {}, r"unknown_item removed 3 of 3, .*line 1 'X9' .*the catalogue has I0, I1, I2"),
        (
            ITEMS,
            buys(a="012", b="01"),
            {"user_core": 5},
            r"0 users are left: user_core = 5 removed 2 of 2; longest history has 3; lower ingest\.user_core",
        ),
        (
            ITEMS,
            buys(a="012", b="01"),
            {"item_core": 3},
            r"0 users are left: user_core = 1 removed 2 of 2, item_core = 3 removed 6 of 6 items",
        ),
    ],
)
def test_nothing_left_names_the_rule(shop: Shop, items: Any, log: Any, settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        ingest(shop(items, log, **settings), 0)


def test_global_time_wants_times_that_can_be_compared(shop: Shop) -> None:
    counting = [row | {"timestamp": i % 3} for i, row in enumerate(buys(anna="012", ben="345"))]
    with pytest.raises(DataError, match=r"log\.jsonl only count each user's purchases \(0, 1, 2\.\.\.\); use 'leave-last-out'"):
        ingest(shop(log=counting, split="global-time"), 0)
    with pytest.raises(DataError, match=r"columns\.timestamp is empty"):
        ingest(shop(log=buys(anna="012"), columns={"timestamp": ""}, split="global-time"), 0)
    assert ingest(shop(log=buys(anna="0123", ben="01"), split="global-time", valid_share=0.2, test_share=0.2), 0)


def test_shares_that_leave_nothing_are_refused(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="leave nothing to learn from"):
        ingest(shop(log=buys(anna="012"), split="global-time", valid_share=0.5, test_share=0.5), 0)


def test_every_column_is_read_cleaned_and_typed(write_table: WriteTable, tmp_path: Path) -> None:
    items = {
        "sku": 17, "name": "<b>Bed</b>", "text": "Soft &amp; warm", "points": "['Washable', 'Round']", "maker": " Oak ",
        "path": "Pets &gt; Dogs > Beds", "cost": "$1,299.00",
    }  # fmt: skip
    write_table("items.csv.gz", [items])
    write_table("log.tsv", [{"who": "anna", "what": "17", "when": "2024-05-31T12:00:00Z"}])
    names = ColumnMap(
        item_id="sku", title="name", description="text", features="points", brand="maker", category="path", price="cost",
        user_id="who", interaction_item_id="what", timestamp="when",
    )  # fmt: skip
    tables = TablesSource(folder=str(tmp_path), items="items.csv.gz", interactions="log.tsv", columns=names)
    config = IngestConfig(source="tables", tables=tables, user_core=1, cold_share=1.0)
    corpus = ingest(config, 0)
    assert corpus.items.rows(named=True) == [
        {
            "item_id": "17", "title": "Bed", "description": "Soft & warm", "features": ["Washable", "Round"], "brand": "Oak",
            "category": ["Pets", "Dogs", "Beds"], "price": 1299.0, "cold": True,
        }
    ]  # fmt: skip
    assert corpus.histories[c.TIMES].to_list() == [[1717156800000]]
    assert source_files(config) == [tmp_path / "items.csv.gz", tmp_path / "log.tsv"]


def test_a_missing_file_or_column_names_the_config_key(shop: Shop, tmp_path: Path) -> None:
    config = shop(log=buys(anna="0"), columns={"brand": "Titel"})
    with pytest.raises(
        DataError, match=r"items\.jsonl has no column 'Titel', which ingest\.tables\.columns\.brand names; did you mean 'title'"
    ):
        ingest(config, 0)
    (tmp_path / "log.jsonl").unlink()
    with pytest.raises(DataError, match=r"log\.jsonl does not exist.*check ingest\.tables\.interactions"):
        source_files(config)


def test_the_demo_shop_has_no_files_and_is_the_same_twice() -> None:
    config = IngestConfig(demo=DemoSource(products=60, customers=120))
    assert source_files(config) == []
    one, two = ingest(config, 3), ingest(config, 3)
    for name in ("items", "histories", "dropped"):
        assert_frame_equal(getattr(one, name), getattr(two, name))


def test_no_item_is_in_the_corpus_and_dropped_and_every_row_is_one_of_both(shop: Shop) -> None:
    generator = random.Random(1)
    log = [
        {"user_id": f"u{generator.randrange(9)}", "item_id": f"I{generator.randrange(8)}", "timestamp": generator.randrange(20)}
        for _ in range(200)
    ]
    corpus = ingest(shop(log=log, user_core=5, item_core=3, max_history=9, max_users=6), 0)
    kept = int(corpus.histories[c.ITEMS].list.len().sum())
    gone = corpus.dropped.filter(corpus.dropped[c.KIND] == "interaction")
    assert kept + gone.height == 200
    assert gone[c.LINE].n_unique() == gone.height


BEAUTY = IngestConfig(source="tables", user_core=5, item_core=5, max_history=100_000)


def test_beauty_is_already_a_five_core(shared_data: Path) -> None:
    tables = TablesSource(folder=str(shared_data / "data" / "beauty"), items="items.jsonl")
    corpus = ingest(BEAUTY.model_copy(update={"tables": tables}), 0)
    lengths = corpus.histories[c.ITEMS].list.len()
    assert (corpus.histories.height, corpus.n_items, int(lengths.sum())) == (22_363, 12_101, 198_502)
    assert corpus.dropped.height == 0
    assert len(corpus.next_item_cases("test")) == 22_363
    with pytest.raises(DataError, match="only count each user's purchases"):
        ingest(BEAUTY.model_copy(update={"tables": tables, "split": "global-time"}), 0)


def test_industrial_with_descriptions_and_brands(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "data" / "industrial"
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    purchases = [(row["user_id"], item) for row in rows for item in row["sequence"]]
    (tmp_path / "log.csv").write_text("user_id,item_id\n" + "".join(f"{user},{item}\n" for user, item in purchases))
    names = ColumnMap(description="description", brand="brand", timestamp="")
    tables = TablesSource(items=str(folder / "items.jsonl"), interactions=str(tmp_path / "log.csv"), columns=names)
    corpus = ingest(IngestConfig(source="tables", tables=tables, user_core=1, max_history=100_000), 0)
    assert corpus.n_items == 3_686
    assert corpus.histories[c.ITEMS].list.len().sum() == len(purchases)
    assert (corpus.items[c.DESCRIPTION] != "").mean() == pytest.approx(0.938, abs=0.005)
    ids = corpus.items[c.ITEM_ID].to_list()
    first = rows[0]["user_id"]
    expected = [item for user, item in purchases if user == first]
    assert histories(corpus)[first] == expected
    assert ids[:3] == ["0", "1", "2"]
