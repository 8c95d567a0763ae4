"""Raw tables to a clean catalogue and a clean log; every row that is left out says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from sidrec import columns as c
from sidrec.config import IngestConfig
from sidrec.ingest.attributes import as_attribute, attribute_type
from sidrec.ingest.raw import TIME, TIME_TEXT, RawTables, Source
from sidrec.ingest.rows import AT, Kind, dropped_rows, join_dropped
from sidrec.ingest.text import clean_and_tell, clean_list
from sidrec.ingest.values import list_column

FOUND: Final = "__found__"  # Int32, the flags of text.Found of all texts of an item

_RAW_TITLE: Final = "__raw_title__"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """``frame`` and the rows that did not get into it (``DROPPED_SCHEMA``)."""

    frame: pl.DataFrame
    dropped: pl.DataFrame


def malformed(source: Source, kind: Kind) -> pl.DataFrame:
    """The rows of a file that no reader could read, as dropped rows."""
    bad = pl.DataFrame({AT: source.bad.lines, "detail": source.bad.details}, schema={AT: pl.Int64, "detail": pl.String})
    return dropped_rows(bad, kind, "malformed_row", source.name, "", pl.col("detail"))


def clean_items(raw: RawTables, config: IngestConfig) -> Cleaned:
    """Texts cleaned; items without id, title or enough text left out, and all but the first of those with one id.

    The frame has the item columns but ``cold``, ``FOUND``, ``AT`` and the typed attributes, in the order of the file.
    """
    source = raw.items_source.name
    items = _clean_texts(raw, config)
    items = items.with_columns(raw.items[c.TITLE].alias(_RAW_TITLE))
    shown = pl.col(_RAW_TITLE).str.slice(0, 80)
    dropped = [malformed(raw.items_source, "item")]

    def leave_out(items: pl.DataFrame, rows: pl.Expr, reason: str, detail: pl.Expr) -> pl.DataFrame:
        dropped.append(dropped_rows(items.filter(rows), "item", reason, source, pl.col(c.ITEM_ID), detail))
        return items.filter(~rows)

    items = leave_out(items, pl.col(c.ITEM_ID).is_null(), "missing_item_id", shown)
    items = leave_out(items, pl.col(c.TITLE) == "", "missing_title", shown)
    length = pl.col(c.TITLE).str.len_chars() + pl.col(c.DESCRIPTION).str.len_chars()
    items = leave_out(items, length < config.min_text_chars, "short_text", pl.format("{} characters: {}", length, shown))
    items = leave_out(items, ~pl.col(c.ITEM_ID).is_first_distinct(), "duplicate_item", shown)
    return Cleaned(items.drop(_RAW_TITLE), join_dropped(dropped))


def _clean_texts(raw: RawTables, config: IngestConfig) -> pl.DataFrame:
    items = raw.items
    found = [0] * items.height

    def texts(name: str, max_chars: int) -> pl.Series:
        column: list[str] = []
        for i, text in enumerate(items[name].to_list()):
            clean, more = clean_and_tell(text, max_chars) if text else ("", 0)
            found[i] |= more
            column.append(clean)
        return pl.Series(name, column, dtype=pl.String)

    def lists(name: str, max_chars: int, max_total: int | None) -> pl.Series:
        column: list[list[str]] = []
        for i, parts in enumerate(items[name].to_list()):
            clean, more = clean_list(parts, max_chars, max_total) if parts else ([], 0)
            found[i] |= more
            column.append(clean)
        return list_column(column)

    longest_name = config.max_title_chars
    cleaned = {
        c.ITEM_ID: items[c.ITEM_ID],
        c.TITLE: texts(c.TITLE, config.max_title_chars),
        c.DESCRIPTION: texts(c.DESCRIPTION, config.max_description_chars),
        c.FEATURES: lists(c.FEATURES, config.max_features_chars, config.max_features_chars),
        c.BRAND: texts(c.BRAND, longest_name),
        c.CATEGORY: lists(c.CATEGORY, longest_name, None),
        c.PRICE: items[c.PRICE],
        AT: items[AT],
    }
    further = {name: as_attribute(items[name], attribute_type(items[name]), longest_name) for name in raw.attributes}
    return pl.DataFrame({**cleaned, FOUND: pl.Series(found, dtype=pl.Int32), **further})


def clean_interactions(raw: RawTables, items: Cleaned) -> Cleaned:
    """Purchases with a user, a known item and a readable time; exact repetitions (user, item, time) only once.

    The frame has ``user_id, item_id, TIME, AT`` in the order of the file.
    """
    source = raw.interactions_source.name
    log = raw.interactions
    dropped = [malformed(raw.interactions_source, "interaction")]

    def leave_out(log: pl.DataFrame, rows: pl.Expr, reason: str, key: str, detail: pl.Expr) -> pl.DataFrame:
        gone = log.filter(rows)
        dropped.append(dropped_rows(gone, "interaction", reason, source, pl.col(key), detail))
        return log.filter(~rows) if gone.height else log

    of_user = pl.format("user {}", c.USER_ID)
    log = leave_out(log, pl.col(c.USER_ID).is_null(), "missing_user_id", c.ITEM_ID, pl.lit(""))
    log = leave_out(log, pl.col(c.ITEM_ID).is_null(), "missing_item_id", c.USER_ID, of_user)
    reasons = items.dropped.filter(pl.col(c.KEY) != "").unique(c.KEY, keep="first", maintain_order=True)
    log = log.join(reasons.select(pl.col(c.KEY).alias(c.ITEM_ID), c.REASON), on=c.ITEM_ID, how="left", maintain_order="left")
    why = pl.col(c.REASON).fill_null("not in the catalogue")
    known = pl.col(c.ITEM_ID).is_in(items.frame[c.ITEM_ID].implode())
    log = leave_out(log, ~known, "unknown_item", c.ITEM_ID, pl.format("{}; user {}", why, c.USER_ID))
    shown = pl.format("{}; item {}", pl.col(TIME_TEXT).fill_null("empty").str.slice(0, 40), c.ITEM_ID)
    log = leave_out(log, pl.col(TIME).is_null(), "bad_timestamp", c.USER_ID, shown)
    repeated = ~pl.struct(c.USER_ID, c.ITEM_ID, TIME).is_first_distinct()
    log = leave_out(log, repeated, "duplicate_interaction", c.USER_ID, shown)
    return Cleaned(log.select(c.USER_ID, c.ITEM_ID, TIME, AT), join_dropped(dropped))
