"""The one raw form that every source ends in: canonical columns, nothing cleaned.

From here on it no longer matters where a catalogue and a purchase log came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from sidrec import columns as c
from sidrec.ingest.rows import AT, BadRows
from sidrec.ingest.tables import Table
from sidrec.ingest.values import as_ids, as_joined, as_lists, as_prices, as_text, as_times, list_column

ODD_PRICE: Final = "__odd_price__"  # bool: there is a text, and no price in it
TIME: Final = "__time__"  # Int64 or Float64, null where unreadable
TIME_TEXT: Final = "__time_text__"  # what the source has there


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a file after reading: its short name, its path, its rows, and those that were broken."""

    name: str
    path: str
    rows: int
    bad: BadRows = field(default_factory=BadRows)

    @classmethod
    def of(cls, table: Table) -> Source:
        return cls(table.path.name, str(table.path), table.rows, table.bad)

    def too_many_bad(self, limit: float) -> str:
        """A sentence that names the first broken row if more than ``limit`` of the rows are broken, else ""."""
        n = len(self.bad.lines)
        if n <= limit * self.rows:
            return ""
        return (
            f"{self.path}: {n} of {self.rows} rows are malformed ({n / self.rows:.1%}, more than ingest.max_bad_share = "
            f"{limit:.1%}); the first is line {self.bad.lines[0]}: {self.bad.details[0]}"
        )


@dataclass(frozen=True, slots=True)
class RawTables:
    """``items``: ``item_id, title, description, brand`` (String), ``features, category`` (list), ``price`` (Float64),
    ``ODD_PRICE``, ``AT``, and ``attributes`` as they were read. ``interactions``: ``user_id, item_id, TIME, TIME_TEXT, AT``.
    Any value but ``AT`` may be null.

    ``timed`` is false where the source has no time and the order of the file stands for it.
    """

    items: pl.DataFrame
    interactions: pl.DataFrame
    items_source: Source
    interactions_source: Source
    timed: bool = True
    attributes: tuple[str, ...] = ()


def raw_items(
    frame: pl.DataFrame, names: Mapping[str, str], separator: str = "", attributes: Sequence[str] = ()
) -> pl.DataFrame:
    """The items of ``RawTables`` from a table as it was read.

    ``names``: canonical name -> column of ``frame``; a field that is missing or "" there is empty. ``attributes`` keep
    their names.
    """

    def column(name: str) -> pl.Series:
        source = names.get(name, "")
        return frame[source] if source else pl.Series([None] * frame.height, dtype=pl.String)

    price, odd = as_prices(column(c.PRICE))
    return pl.DataFrame(
        {
            AT: frame[AT],
            c.ITEM_ID: as_ids(column(c.ITEM_ID)),
            c.TITLE: as_text(column(c.TITLE)),
            c.DESCRIPTION: as_joined(column(c.DESCRIPTION)),
            c.FEATURES: list_column(as_lists(column(c.FEATURES))),
            c.BRAND: as_text(column(c.BRAND)),
            c.CATEGORY: list_column(as_lists(column(c.CATEGORY), separator)),
            c.PRICE: price,
            ODD_PRICE: odd,
            **{name: frame[name] for name in attributes},
        }
    )


def raw_interactions(frame: pl.DataFrame, user: str, item: str, time: str) -> pl.DataFrame:
    """The interactions of ``RawTables``; with no column ``time`` the row's place in the file is its time."""
    place = pl.Series(range(frame.height), dtype=pl.Int64)
    return pl.DataFrame(
        {
            AT: frame[AT],
            c.USER_ID: as_ids(frame[user]),
            c.ITEM_ID: as_ids(frame[item]),
            TIME: as_times(frame[time]) if time else place,
            TIME_TEXT: as_text(frame[time]) if time else pl.Series([None] * frame.height, dtype=pl.String),
        }
    )
