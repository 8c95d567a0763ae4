"""A file of customers and histories, whatever its format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from sidrec.errors import DataError
from sidrec.ingest import read_users

ROWS = {"U1": ["P1", "P2"], "U2": [], "U,3": ["P <|sid_start|>"]}


def read(path: Path) -> dict[str, list[str]]:
    return {user: items for frame in read_users(path) for user, items in frame.select("user_id", "items").iter_rows()}


def test_every_format_says_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": list(ROWS), "items": list(ROWS.values())}, schema_overrides={"items": pl.List(pl.String)})
    frame.write_parquet(tmp_path / "a.parquet")
    joined = frame.with_columns(pl.col("items").list.join(", ")).rename({"user_id": "user", "items": "history"})
    joined.write_csv(tmp_path / "a.csv")
    joined.write_csv(tmp_path / "a.tsv", separator="\t")
    lines = "".join(json.dumps({"user": user, "item_ids": items}) + "\n" for user, items in ROWS.items())
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name in ("a.parquet", "a.csv", "a.tsv", "a.jsonl", "b.jsonl.gz"):
        assert read(tmp_path / name) == ROWS, name


def test_ids_that_are_numbers(tmp_path: Path) -> None:
    pl.DataFrame({"user": [7, 8], "items": [[1, 2], [3]]}).write_parquet(tmp_path / "n.parquet")
    (tmp_path / "n.jsonl").write_text('{"user": 7, "items": [1, 2]}\n{"user": 8.0, "items": "3"}\n')
    assert read(tmp_path / "n.parquet") == read(tmp_path / "n.jsonl") == {"7": ["1", "2"], "8": ["3"]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "customer,items\nU1,P1\n",
            r"no column for the customer's id: expected .*user_id or user, found cust",
        ),
        ("a.csv", "user,bought\nU1,P1\n", r"no column for the items bought.*items or item_ids or history"),
        ("a.csv", "user,items\nU1,P1\n,P2\n", r"line 3: a customer without an id"),
        ("a.csv", "user,items\nU1,P1\nU2,P1,P2\n", r"line 3: .*mend the row"),
        ("a.jsonl", '{"user": "U1", "items": []}\n{"user"\n', r"line 2: not JSON"),
        ("a.txt", "U1 P1", r"cannot tell the format"),
        ("a.parquet", "no", r"not a readable Parquet file"),
    ],
)
def test_a_broken_file_is_refused_by_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_users(tmp_path / name))
    with pytest.raises(DataError, match="does not exist"):
        list(read_users(tmp_path / "absent.csv"))


def test_a_large_file_comes_in_blocks(tmp_path: Path) -> None:
    n = 40_000
    frame = pl.DataFrame({"user": [f"U{i}" for i in range(n)], "items": [[f"P{i % 7}"] for i in range(n)]})
    frame.write_parquet(tmp_path / "a.parquet")
    frames = list(read_users(tmp_path / "a.parquet"))
    assert len(frames) > 1 and max(f.height for f in frames) < n
    assert pl.concat(frames)["user_id"].to_list() == frame["user"].to_list()
