"""Writes small shops in every format."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sidrec.config import ColumnMap, IngestConfig, TablesSource

Rows = Sequence[dict[str, Any]]
WriteTable = Callable[[str, Rows], Path]
Shop = Callable[..., IngestConfig]


def write_rows(path: Path, rows: Rows) -> Path:
    """Write ``rows`` in the format that the path's ending names."""
    name = path.name.removesuffix(".gz")
    plain = path.with_name(name)
    if name.endswith((".csv", ".tsv")):
        with plain.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if name.endswith(".tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".jsonl"):
        plain.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        pl.DataFrame(rows).write_parquet(plain)
    if path != plain:
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()
    return path


@pytest.fixture
def write_table(tmp_path: Path) -> WriteTable:
    """``write_table("items.csv.gz", rows)``."""
    return lambda name, rows: write_rows(tmp_path / name, rows)


ITEMS: Rows = [{"item_id": f"I{i}", "title": f"Item number {i}"} for i in range(6)]


def buys(**histories: str) -> list[dict[str, Any]]:
    """``buys(anna="012")``: Anna buys I0, I1, I2 on three days; single digits only."""
    return [
        {"user_id": user, "item_id": f"I{item}", "timestamp": 1_600_000_000 + 86_400 * day}
        for user, items in histories.items()
        for day, item in enumerate(items)
    ]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """``shop(items, log, columns=..., **ingest settings)``: writes two JSONL files and gives the config."""

    def make(items: Rows = ITEMS, log: Rows = (), *, columns: dict[str, Any] | None = None, **settings: Any) -> IngestConfig:
        write_rows(tmp_path / "items.jsonl", items)
        write_rows(tmp_path / "log.jsonl", log)
        tables = TablesSource(
            folder=str(tmp_path), items="items.jsonl", interactions="log.jsonl", columns=ColumnMap(**(columns or {}))
        )
        return IngestConfig(source="tables", tables=tables, **({"user_core": 1, "cold_share": 0.0} | settings))

    return make
