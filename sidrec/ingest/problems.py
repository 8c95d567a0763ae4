"""What ``sidrec doctor`` says about each kind of problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from sidrec import columns as c
from sidrec.ingest.rows import shorten

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem, how often it occurs, and its first example.

    ``source`` and ``line`` (1-based; ``None`` where a row has none) say where the example stands.
    """

    severity: Severity
    reason: str
    count: int
    source: str
    line: int | None
    example: str
    advice: str


_ROWS: dict[tuple[str, str], tuple[Severity, str]] = {
    ("item", "malformed_row"): ("warning", "These rows were skipped; mend them or export the file again."),
    ("item", "missing_item_id"): ("warning", "An item without an id was left out."),
    ("item", "missing_title"): ("warning", "An item without a title (after cleaning) was left out."),
    ("item", "short_text"): ("note", "Left out by ingest.min_text_chars."),
    ("item", "duplicate_item"): ("warning", "The first row with an id was kept; later ones were left out."),
    ("item", "max_items"): ("note", "Left out by ingest.max_items, the least bought first."),
    ("item", "item_core"): ("note", "Left out by ingest.item_core; 0 keeps the whole catalogue."),
    ("interaction", "malformed_row"): ("warning", "These rows were skipped; mend them or export the file again."),
    ("interaction", "missing_user_id"): ("warning", "A purchase without a customer was left out."),
    ("interaction", "missing_item_id"): ("warning", "A purchase without an item was left out."),
    ("interaction", "unknown_item"): ("warning", "A purchase of an item that the catalogue does not have was left out."),
    ("interaction", "bad_timestamp"): ("warning", "Expected a number or an ISO date such as 2024-05-31T12:00:00Z."),
    ("interaction", "duplicate_interaction"): ("note", "Same customer, item and time: counted once."),
    ("interaction", "max_items"): ("note", "Purchases of items left out by ingest.max_items."),
    ("interaction", "user_core"): ("note", "Purchases of customers left out by ingest.user_core."),
    ("interaction", "item_core"): ("note", "Purchases of items left out by ingest.item_core."),
    ("interaction", "max_users"): ("note", "Purchases of customers that ingest.max_users did not draw."),
    ("interaction", "history_cap"): ("note", "Older than the latest ingest.max_history purchases of their customer."),
    ("user", "user_core"): ("note", "Customers with too few purchases for ingest.user_core."),
    ("user", "max_users"): ("note", "Customers that ingest.max_users did not draw."),
}


def of_dropped(dropped: pl.DataFrame) -> list[Problem]:
    """One problem for each kind and reason among rows of ``DROPPED_SCHEMA``, in the order of their first row."""
    first = pl.first(c.SOURCE, c.LINE, c.KEY, c.DETAIL)
    groups = dropped.group_by(c.KIND, c.REASON, maintain_order=True).agg(pl.len().alias("n"), first)
    found: list[Problem] = []
    for kind, reason, n, source, line, key, detail in groups.iter_rows():
        severity, advice = _ROWS[kind, reason]
        example = ": ".join(part for part in (key, detail) if part)
        found.append(Problem(severity, reason, n, source or f"{kind}s", line, shorten(example), advice))
    return found
