"""The stage: read, clean, filter, split."""

from __future__ import annotations

import polars as pl

from sidrec import columns as c
from sidrec.config import IngestConfig
from sidrec.errors import ConfigError, DataError
from sidrec.ingest.clean import Cleaned, clean_interactions, clean_items
from sidrec.ingest.draw import place
from sidrec.ingest.filters import Kept, keep
from sidrec.ingest.raw import TIME, RawTables
from sidrec.ingest.rows import join_dropped
from sidrec.ingest.sources import read_source
from sidrec.ingest.split import split, times_are_positions
from sidrec.schemas import DROPPED_SCHEMA, HISTORY_SCHEMA, ITEM_SCHEMA
from sidrec.types import Corpus


def ingest(config: IngestConfig, seed: int) -> Corpus:
    """Read the source that the config names, clean it, filter it and split it.

    Items are in the order of their file, users by id; each history is in time order, purchases at one time in the order
    of the file. The same files, config and seed give the same corpus.

    Raises:
        ConfigError: settings that cannot go together.
        DataError: a file is missing or unreadable, too many rows are malformed, or nothing is left.
    """
    check_config(config)
    raw = read_source(config, seed)
    for source in (raw.items_source, raw.interactions_source):
        if complaint := source.too_many_bad(config.max_bad_share):
            raise DataError(complaint)
    items = clean_items(raw, config)
    require_items(raw, items)
    log = clean_interactions(raw, items)
    require_interactions(raw, items, log)
    if complaint := untimed(config, raw):
        raise DataError(complaint)
    kept = filtered(raw, items, log, config, seed)
    dropped = join_dropped([items.dropped, log.dropped, kept.dropped])
    return corpus_of(kept, dropped, config, seed)


def check_config(config: IngestConfig) -> None:
    """Raises ConfigError where single settings are valid and together make no sense."""
    if config.split == "global-time" and config.valid_share + config.test_share >= 1:
        raise ConfigError(
            f"ingest.valid_share = {config.valid_share} and ingest.test_share = {config.test_share} leave nothing to learn "
            "from; together they must stay below 1"
        )


def require_items(raw: RawTables, items: Cleaned) -> None:
    """Raises DataError if no item is left, naming the rule that removed most."""
    if not items.frame.height:
        advice = "check ingest.tables.columns.item_id and .title, and ingest.min_text_chars"
        raise DataError(_nothing_left("items", raw.items_source.rows, items.dropped, advice))


def require_interactions(raw: RawTables, items: Cleaned, log: Cleaned) -> None:
    """Raises DataError if no purchase is left, naming the rule that removed most."""
    if not log.frame.height:
        known = ", ".join(items.frame[c.ITEM_ID].head(3).to_list())
        advice = f"check ingest.tables.columns and whether both files name items alike (the catalogue has {known})"
        raise DataError(_nothing_left("interactions", raw.interactions_source.rows, log.dropped, advice))


def _nothing_left(what: str, rows: int, dropped: pl.DataFrame, advice: str) -> str:
    if not dropped.height:
        return f"0 {what} are left: the source has no rows; {advice}"
    groups = dropped.group_by(c.REASON, maintain_order=True).agg(
        pl.len().alias("n"), pl.first(c.SOURCE, c.LINE, c.KEY, c.DETAIL)
    )
    reason, n, source, line, key, detail = groups.sort("n", descending=True, maintain_order=True).row(0)
    shown = " ".join(part for part in (repr(key) if key else "", f"({detail})" if detail else "") if part)
    return f"0 {what} are left: {reason} removed {n} of {rows}, first {source} line {line} {shown}; {advice}"


def untimed(config: IngestConfig, raw: RawTables) -> str:
    """Why these times cannot be split at a point common to all users, or ""."""
    if config.split != "global-time":
        return ""
    name = raw.interactions_source.path
    if not raw.timed:
        why = f"ingest.tables.columns.timestamp is empty: the order of {name} is no time"
    elif times_are_positions(raw.interactions.drop_nulls([c.USER_ID, TIME])):
        why = f"the times of {name} only count each user's purchases (0, 1, 2...)"
    else:
        return ""
    return f"ingest.split = 'global-time' needs times that can be compared between users, but {why}; use 'leave-last-out'"


def filtered(raw: RawTables, items: Cleaned, log: Cleaned, config: IngestConfig, seed: int) -> Kept:
    """See ``filters.keep``."""
    return keep(items.frame, log.frame, config, seed, (raw.items_source.name, raw.interactions_source.name))


def corpus_of(kept: Kept, dropped: pl.DataFrame, config: IngestConfig, seed: int) -> Corpus:
    """Draw the cold items, cut the histories.

    Raises:
        DataError: a split by time leaves nothing to learn from.
    """
    cold = place(seed, kept.items[c.ITEM_ID].to_list()) < config.cold_share
    items = kept.items.with_columns(pl.Series(c.COLD, cold))
    attributes = [name for name in items.columns if name not in ITEM_SCHEMA and not name.startswith("__")]
    histories = split(kept.log, config.split, config.valid_share, config.test_share)
    return Corpus(items.select(*ITEM_SCHEMA, *attributes), histories.select(*HISTORY_SCHEMA), dropped.select(*DROPPED_SCHEMA))
