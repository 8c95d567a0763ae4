"""Amazon Reviews 2023: hand-written files with all the quirks of the real ones."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidrec import columns as c
from sidrec.config import AmazonSource, IngestConfig
from sidrec.errors import DataError
from sidrec.ingest import ingest, inspect, source_files

META: list[dict[str, Any]] = [
    {
        "main_category": "Pet Supplies", "title": "Cat Tower &amp; Scratcher", "average_rating": 4.5, "rating_number": 12,
        "features": ["<b>Tall</b>", "Stable"], "description": ["First paragraph.", "Second one."], "price": 59.99,
        "images": [{"thumb": "t.jpg", "variant": "MAIN"}], "videos": [], "store": "Purr Co",
        "categories": ["Pet Supplies", "Cats", "Furniture"], "details": {"Brand": "Other", "Weight": "9 lb"},
        "parent_asin": "B0PARENT01", "bought_together": None,
    },
    {
        "main_category": "Pet Supplies", "title": "Bird Seed", "features": [], "description": [], "price": "None",
        "store": None, "categories": [], "details": {"Item Form": "Seed", "Brand": "Feather Farm"}, "parent_asin": "B0PARENT02",
    },
    {
        "main_category": None, "title": "Dog Ball", "features": [], "description": [], "price": None,
        "store": "", "categories": [], "details": json.dumps({"Brand": "Barkly"}), "parent_asin": "B0PARENT03",
    },
    {"title": "", "parent_asin": "B0PARENT04", "features": [], "description": [], "price": "from 7.25", "details": "{}"},
    {
        "title": "Fish Net", "parent_asin": "B0PARENT05", "features": [], "description": [], "price": "from 7.25",
        "store": None, "details": "{not json", "categories": [], "main_category": "All Electronics",
    },
]  # fmt: skip
# The reviews name the colour or size that was bought (asin); only parent_asin is a product of the metadata.
BOUGHT = [("AE1", 1, 2), ("AE1", 2, 1), ("AE1", 3, 3), ("AE2", 5, 1), ("AE2", 1, 1), ("AE2", 4, 2)]  # user, product, day
REVIEWS: list[dict[str, Any]] = [
    {
        "rating": 5.0, "title": "Good", "text": "x", "images": [], "helpful_vote": 0, "verified_purchase": True,
        "asin": f"B0CHILD{n:03}", "parent_asin": f"B0PARENT0{product}", "user_id": user,
        "timestamp": 1_600_000_000_000 + 86_400_000 * day,
    }
    for n, (user, product, day) in enumerate(BOUGHT)
]  # fmt: skip


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def five_core() -> bytes:
    rows = [f"{r['user_id']},{r['parent_asin']},{r['rating']},{r['timestamp']}" for r in REVIEWS]
    return "\n".join(["user_id,parent_asin,rating,timestamp", *rows, ""]).encode()


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


def config(folder: Path, interactions: str = "5core", **settings: Any) -> IngestConfig:
    amazon = AmazonSource.model_validate({"category": "Pet_Supplies", "folder": str(folder), "interactions": interactions})
    return IngestConfig(source="amazon-2023", amazon=amazon, user_core=1, cold_share=0.0, **settings)


@pytest.mark.parametrize("interactions", ["5core", "reviews"])
@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("nested", [False, True])
def test_every_layout_gives_the_same_corpus(tmp_path: Path, interactions: str, gz: str, nested: bool) -> None:
    log = "Pet_Supplies.csv" if interactions == "5core" else "Pet_Supplies.jsonl"
    log_folder = "benchmark/5core/rating_only/" if interactions == "5core" else "raw/review_categories/"
    meta = put(tmp_path, f"{'raw/meta_categories/' * nested}meta_Pet_Supplies.jsonl{gz}", lines(META))
    reviews = put(tmp_path, f"{log_folder * nested}{log}{gz}", five_core() if interactions == "5core" else lines(REVIEWS))
    settings = config(tmp_path, interactions)
    assert source_files(settings) == [meta, reviews]
    corpus = ingest(settings, 0)
    items = {row[c.ITEM_ID]: row for row in corpus.items.rows(named=True)}
    assert list(items) == ["B0PARENT01", "B0PARENT02", "B0PARENT03", "B0PARENT05"]
    assert items["B0PARENT01"] == {
        "item_id": "B0PARENT01", "title": "Cat Tower & Scratcher", "description": "First paragraph. Second one.",
        "features": ["Tall", "Stable"], "brand": "Purr Co", "category": ["Pet Supplies", "Cats", "Furniture"],
        "price": 59.99, "cold": False,
    }  # fmt: skip
    assert [items[i][c.BRAND] for i in list(items)[1:]] == ["Feather Farm", "Barkly", ""]
    assert [items[i][c.CATEGORY] for i in list(items)[1:]] == [["Pet Supplies"], [], ["All Electronics"]]
    assert [items[i][c.PRICE] for i in list(items)[1:]] == [None, None, 7.25]
    assert corpus.histories.select(c.USER_ID, c.ITEMS).rows() == [("AE1", [1, 0, 2]), ("AE2", [3, 0])]
    assert corpus.histories[c.TIMES].to_list()[0] == [1_600_086_400_000, 1_600_172_800_000, 1_600_259_200_000]
    reasons = corpus.dropped.select(c.KIND, c.REASON, c.KEY).rows()
    assert reasons == [("item", "missing_title", "B0PARENT04"), ("interaction", "unknown_item", "B0PARENT04")]


def test_the_price_none_is_no_problem_of_its_own(tmp_path: Path) -> None:
    put(tmp_path, "meta_Pet_Supplies.jsonl", lines(META))
    put(tmp_path, "Pet_Supplies.csv", five_core())
    reasons = {problem.reason for problem in inspect(config(tmp_path), 0).problems}
    assert "unreadable_price" not in reasons
    assert {"missing_title", "unknown_item", "markup"} <= reasons


def test_a_missing_file_says_what_to_fetch(tmp_path: Path) -> None:
    put(tmp_path, "meta_Toys_and_Games.jsonl", lines(META))
    with pytest.raises(DataError) as error:
        ingest(config(tmp_path), 0)
    assert "no file meta_Pet_Supplies.jsonl or meta_Pet_Supplies.jsonl.gz" in str(error.value)
    assert "the folder has meta_Toys_and_Games.jsonl" in str(error.value)
    assert "download raw/meta_categories/meta_Pet_Supplies.jsonl" in str(error.value)
    put(tmp_path, "meta_Pet_Supplies.jsonl", lines(META))
    with pytest.raises(DataError, match=r"download raw/review_categories/Pet_Supplies\.jsonl from"):
        source_files(config(tmp_path, "reviews"))
    with pytest.raises(DataError, match="the folder does not exist"):
        source_files(config(tmp_path / "nowhere"))


def test_a_file_of_another_data_set_names_the_missing_column(tmp_path: Path) -> None:
    put(tmp_path, "meta_Pet_Supplies.jsonl", lines([{"asin": "B01", "title": "An older file"}]))
    put(tmp_path, "Pet_Supplies.csv", five_core())
    with pytest.raises(DataError, match=r"no column 'parent_asin', which the format of Amazon Reviews 2023 names"):
        ingest(config(tmp_path), 0)


_OFFLINE = """
from sidrec.config import AmazonSource, IngestConfig
from sidrec.errors import DataError
from sidrec.ingest import source_files
try:
    print(source_files(IngestConfig(source="amazon-2023", amazon=AmazonSource(category="Pet_Supplies"))))
except DataError as error:
    print(error)
"""


def run_offline(home: Path) -> str:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", _OFFLINE], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_without_network_the_way_by_hand_is_told(tmp_path: Path) -> None:
    said = run_offline(tmp_path)
    assert said.startswith("cannot download raw/meta_categories/meta_Pet_Supplies.jsonl of McAuley-Lab/Amazon-Reviews-2023")
    assert "and benchmark/5core/rating_only/Pet_Supplies.csv from https://huggingface.co/datasets/" in said
    assert "set ingest.amazon.folder" in said
    assert "\n" not in said


def test_what_was_downloaded_before_needs_no_network(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "datasets--McAuley-Lab--Amazon-Reviews-2023"
    put(repository, "refs/main", b"0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    put(snapshot, "raw/meta_categories/meta_Pet_Supplies.jsonl", lines(META))
    put(snapshot, "benchmark/5core/rating_only/Pet_Supplies.csv", five_core())
    said = run_offline(tmp_path)
    assert str(snapshot / "raw/meta_categories/meta_Pet_Supplies.jsonl") in said
    assert str(snapshot / "benchmark/5core/rating_only/Pet_Supplies.csv") in said
