"""Rows that cannot be read, and rows that are left out: one line of a table for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import polars as pl

from sidrec import columns as c
from sidrec.schemas import DROPPED_SCHEMA

Kind = Literal["item", "interaction", "user"]
AT: Final = "__line__"  # Int64, where a row stands in its file; named so that no column of a user is called the same
_DETAIL_CHARS = 120


def shorten(text: str, chars: int = _DETAIL_CHARS) -> str:
    """One line of at most ``chars`` characters, for an example in a message.

    >>> shorten("two\\nlines, and too many words", 20)
    'two lines, and to...'
    """
    line = " ".join(text[: 4 * chars].split())
    return line if len(line) <= chars and len(text) <= 4 * chars else line[: chars - 3] + "..."


@dataclass(slots=True)
class BadRows:
    """Collects the rows that a reader could not read."""

    lines: list[int] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def add(self, line: int, detail: str) -> None:
        """``line`` is 1-based; ``detail`` says what is wrong."""
        self.lines.append(line)
        self.details.append(detail)


def dropped_rows(
    frame: pl.DataFrame, kind: Kind, reason: str, source: str, key: pl.Expr | str, detail: pl.Expr | str
) -> pl.DataFrame:
    """Rows of ``DROPPED_SCHEMA`` from the rows of ``frame``, which brings its line numbers if it has any.

    ``key`` and ``detail``: expressions over ``frame``, or a plain text for all.
    """
    line = pl.col(AT) if AT in frame.columns else pl.lit(None)
    return frame.select(
        pl.lit(kind).alias(c.KIND),
        pl.lit(reason).alias(c.REASON),
        pl.lit(source).alias(c.SOURCE),
        line.cast(pl.Int64).alias(c.LINE),
        (pl.lit(key) if isinstance(key, str) else key).cast(pl.String).fill_null("").alias(c.KEY),
        (pl.lit(detail) if isinstance(detail, str) else detail).cast(pl.String).fill_null("").alias(c.DETAIL),
    ).select(pl.col(name).cast(kind_) for name, kind_ in DROPPED_SCHEMA.items())


def join_dropped(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The parts behind each other; an empty table of ``DROPPED_SCHEMA`` if there are none."""
    return pl.concat([pl.DataFrame(schema=DROPPED_SCHEMA), *parts])
