"""A small shop of tables, and the first three stages of a run of it: what a catalogue needs, with no model."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sidrec import pipeline
from sidrec.config import DemoSource
from sidrec.configfile import parse_config
from sidrec.ingest.demo import simulate_shop

OPENING, LATER = 120, 20  # items of the first day, and those that come later


def write_tables(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``items.parquet`` and ``interactions.csv``; returns the items of the first day and those that come later."""
    items, purchases = simulate_shop(DemoSource(products=OPENING + LATER, customers=150), seed=3)
    items = items.filter(pl.col("title").is_not_null() & (pl.col("title").str.strip_chars() != "")).unique(
        "item_id", keep="first", maintain_order=True
    )
    opening, later = items.head(OPENING), items.tail(items.height - OPENING)
    opening.write_parquet(folder / "items.parquet")
    purchases.filter(pl.col("item_id").is_in(opening["item_id"].implode())).write_csv(folder / "interactions.csv")
    return opening, later


def config_of(folder: Path, *overrides: str) -> object:
    columns = {
        "description": "description", "brand": "brand", "category": "category", "features": "features", "price": "price",
        "attributes": ["in_stock", "species"],
    }  # fmt: skip
    table = {
        "name": "shop",
        "ingest": {"source": "tables", "tables": {"folder": str(folder), "items": "items.parquet", "columns": columns}},
        "embed": {"dimension": 16},
        "quantize": {
            "levels": [8, 8, 4],
            "tie_codes": 8,
            "behaviour_weight": 1.0,
            "behaviour_dimension": 8,
            "gate": {"action": "warn"},  # 256 codes are few for 120 items that come in variants
        },
    }
    return parse_config(table, ["ingest.user_core=2", *overrides])


def open_shop(folder: Path, *overrides: str) -> pipeline.Run:
    """A run with codes."""
    run = pipeline.Run(folder / "run", config_of(folder, *overrides))  # type: ignore[arg-type]
    for stage in (pipeline.ingest, pipeline.embed, pipeline.quantize):
        stage(run)
    return run


def hashes(run: pipeline.Run) -> dict[str, bytes]:
    """Every file of the numbered folders but the live catalogue, by name."""
    paths = [path for path in sorted(run.path.glob("[1-8]-*/**/*")) if path.is_file()]
    return {str(path.relative_to(run.path)): path.read_bytes() for path in paths}
