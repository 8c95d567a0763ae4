"""Where a catalogue and a purchase log come from: the demo shop, the user's own tables, Amazon Reviews 2023."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sidrec import columns as c
from sidrec.config import ColumnMap, IngestConfig, TablesSource
from sidrec.ingest.amazon import PRODUCT, amazon_files, read_amazon
from sidrec.ingest.formats import format_of, require_file
from sidrec.ingest.raw import RawTables, Source, raw_interactions, raw_items
from sidrec.ingest.rows import AT
from sidrec.ingest.tables import read_table

ITEM_FIELDS = (c.ITEM_ID, c.TITLE, c.DESCRIPTION, c.FEATURES, c.BRAND, c.CATEGORY, c.PRICE)


def source_files(config: IngestConfig) -> list[Path]:
    """The files that ``ingest`` will read, items first; none for the demo shop.

    For Amazon Reviews without a folder this downloads them, or finds them in the Hugging Face cache.

    Raises:
        DataError: a file is missing, of an unknown format, or cannot be downloaded.
    """
    if config.source == "demo":
        return []
    if config.source == "amazon-2023":
        return list(amazon_files(config.amazon))
    files = [
        require_file(Path(config.tables.folder) / config.tables.items, "ingest.tables.items"),
        require_file(Path(config.tables.folder) / config.tables.interactions, "ingest.tables.interactions"),
    ]
    for path in files:
        format_of(path)
    return files


def read_source(config: IngestConfig, seed: int) -> RawTables:
    """Read the source that the config names.

    Raises:
        DataError: a file or a column is missing, or a file cannot be read at all. Broken rows are only collected.
    """
    if config.source == "demo":
        return _demo(config, seed)
    items, interactions = source_files(config)
    if config.source == "amazon-2023":
        return read_amazon(items, interactions)
    return _tables(config.tables, items, interactions)


def _tables(config: TablesSource, items_path: Path, interactions_path: Path) -> RawTables:
    names = config.columns
    items, items_source = read_items(config, items_path)
    item = names.interaction_item_id or names.item_id
    wanted = {
        names.user_id: _key("user_id"),
        item: _key("interaction_item_id" if names.interaction_item_id else "item_id"),
    }
    if names.timestamp:
        wanted[names.timestamp] = _key("timestamp")
    interactions = read_table(interactions_path, wanted)
    return RawTables(
        items,
        raw_interactions(interactions.frame, names.user_id, item, names.timestamp),
        items_source,
        Source.of(interactions),
        timed=bool(names.timestamp),
        attributes=names.attributes,
    )


def read_items(config: TablesSource, path: Path) -> tuple[pl.DataFrame, Source]:
    """The raw items (see ``RawTables``) of a table with the columns that the config names.

    Raises:
        DataError: the file or a column is missing, or the file cannot be read.
    """
    names = config.columns
    fields = {name: getattr(names, name) for name in ITEM_FIELDS if getattr(names, name)}
    wanted = dict.fromkeys(names.attributes, _key("attributes")) | {column: _key(name) for name, column in fields.items()}
    table = read_table(path, wanted)
    return raw_items(table.frame, fields, config.category_separator, names.attributes), Source.of(table)


def id_column(config: IngestConfig) -> str:
    """What the column of item ids is called in a table of items."""
    return {"tables": config.tables.columns.item_id, "amazon-2023": PRODUCT}.get(config.source, c.ITEM_ID)


def _key(field: str) -> str:
    return f"ingest.tables.columns.{field}"


def _demo(config: IngestConfig, seed: int) -> RawTables:
    from sidrec.ingest.demo import ATTRIBUTES, simulate_shop

    items, log = simulate_shop(config.demo, seed)
    items, log = (frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(AT)) for frame in (items, log))
    own = ColumnMap()
    return RawTables(
        raw_items(items, {name: name for name in ITEM_FIELDS if name in items.columns}, ">", ATTRIBUTES),
        raw_interactions(log, own.user_id, own.item_id, own.timestamp),
        Source("demo items", "demo items", items.height),
        Source("demo interactions", "demo interactions", log.height),
        attributes=ATTRIBUTES,
    )
