"""Items that come after the catalogue was ingested: one file, read and cleaned as the items table was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sidrec import columns as c
from sidrec.config import ColumnMap, IngestConfig
from sidrec.errors import DataError
from sidrec.ingest.amazon import read_products
from sidrec.ingest.attributes import as_attribute
from sidrec.ingest.clean import Cleaned, clean_items
from sidrec.ingest.formats import require_file
from sidrec.ingest.raw import RawTables, Source, raw_interactions, raw_items
from sidrec.ingest.rows import AT
from sidrec.ingest.sources import ITEM_FIELDS, id_column, read_items
from sidrec.ingest.tables import read_table
from sidrec.ingest.values import as_ids
from sidrec.schemas import ITEM_SCHEMA

_KNOWN = "__known__"


def read_additions(path: Path, config: IngestConfig, catalogue: pl.DataFrame) -> Cleaned:
    """Items of a file, with the columns and types of ``catalogue``, and the rows left out (``DROPPED_SCHEMA``).

    The column map is the run's own; the columns of the demo shop are ``item_id``, ``title`` and so on, where only these two
    must be there: of an item that is in ``catalogue``, what the file has no column for is taken from there. All items are
    marked cold: no model has learned from their text.

    Raises:
        DataError: the file or a column is missing, rows are malformed, an item id stands twice, or no item is left.
    """
    raw, lacking = _read(path, config)
    if complaint := raw.items_source.too_many_bad(config.max_bad_share):
        raise DataError(complaint)
    cleaned = clean_items(raw, config)
    twice = cleaned.dropped.filter(pl.col(c.REASON) == "duplicate_item")
    if twice.height:
        item, line = twice.select(c.KEY, c.LINE).row(0)
        raise DataError(f"{path}: the item id {item!r} stands twice (again in line {line}; {twice.height} such rows); keep one")
    if not cleaned.frame.height:
        first = ""
        if cleaned.dropped.height:
            reason, line = cleaned.dropped.select(c.REASON, c.LINE).row(0)
            first = f", the first left out in line {line}: {reason}"
        raise DataError(
            f"{path} has no item that can be used ({raw.items_source.rows} rows{first}); an item needs an id and a title"
        )
    attributes = {name: kind for name, kind in catalogue.schema.items() if name not in ITEM_SCHEMA}
    given = raw.items.select(AT, *(name for name in attributes if name in raw.attributes))
    typed = [
        as_attribute(given[name], kind, config.max_title_chars).alias(name)
        if name in given.columns
        else pl.Series(name, [None] * given.height, dtype=kind)
        for name, kind in attributes.items()
    ]
    items = cleaned.frame.select(AT, *(name for name in ITEM_SCHEMA if name != c.COLD)).with_columns(pl.lit(True).alias(c.COLD))
    items = items.join(given.select(AT).with_columns(typed), on=AT, how="left", maintain_order="left")
    items = _as_known(items.select(*catalogue.columns), catalogue, [name for name in lacking if name in catalogue.columns])
    return Cleaned(items, cleaned.dropped)


def read_ids(text: str, config: IngestConfig) -> list[str]:
    """Item ids: ``ID,ID,...``, or the name of a text file with one a line, or of a table that has a column of them.

    Raises:
        DataError: the file cannot be read, or names no item.
    """
    path = Path(text)
    if not path.is_file():
        if path.suffix and "/" in text:
            require_file(path, "--ids")
        return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if path.suffix == ".txt":
        ids = [line.strip() for line in path.read_text("utf-8").splitlines()]
    else:
        key = id_column(config)
        ids = as_ids(read_table(path, {key: "ingest.tables.columns.item_id"}).frame[key]).drop_nulls().to_list()
    found = list(dict.fromkeys(item for item in ids if item))
    if not found:
        raise DataError(f"{path} names no item: expected one id a line")
    return found


def _as_known(items: pl.DataFrame, catalogue: pl.DataFrame, lacking: Sequence[str]) -> pl.DataFrame:
    """``items`` with what ``catalogue`` has of them in the columns ``lacking``."""
    if not lacking:
        return items
    known = catalogue.select(c.ITEM_ID, pl.struct(lacking).alias(_KNOWN))
    joined = items.join(known, on=c.ITEM_ID, how="left", maintain_order="left")
    old = pl.col(_KNOWN)
    filled = [pl.when(old.is_null()).then(pl.col(name)).otherwise(old.struct.field(name)).alias(name) for name in lacking]
    return joined.with_columns(filled).select(items.columns)


def _read(path: Path, config: IngestConfig) -> tuple[RawTables, tuple[str, ...]]:
    """The raw tables, and the columns of the catalogue that this file may lack and does."""
    attributes: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    if config.source == "amazon-2023":
        items, source = read_products(path)
    elif config.source == "tables":
        attributes = config.tables.columns.attributes
        items, source = read_items(config.tables, path)
    else:
        from sidrec.ingest.demo import ATTRIBUTES

        own = ColumnMap()
        needed = {own.item_id: "the demo shop", own.title: "the demo shop"}
        there = read_table(path, {}, max_rows=1).columns
        optional = [name for name in (*ITEM_FIELDS, *ATTRIBUTES) if name in there]
        table = read_table(path, dict.fromkeys(optional, "the demo shop") | needed)
        attributes = tuple(name for name in ATTRIBUTES if name in there)
        lacking = tuple(name for name in (*ITEM_FIELDS, *ATTRIBUTES) if name not in there)
        names = {name: name for name in ITEM_FIELDS if name in table.frame.columns}
        items, source = raw_items(table.frame, names, ">", attributes), Source.of(table)
    nothing = pl.DataFrame({AT: [], "user": [], "item": []}, schema={AT: pl.Int64, "user": pl.String, "item": pl.String})
    raw = RawTables(items, raw_interactions(nothing, "user", "item", ""), source, Source("", "", 0), False, attributes)
    return raw, lacking
