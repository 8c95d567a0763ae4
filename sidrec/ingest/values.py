"""Values of unknown form to the types of a corpus: texts, lists, prices and times.

A column comes as text (CSV, JSON Lines) or with the types of a Parquet file. What cannot be read becomes null here;
whether that costs the row is for ``clean.py`` to say.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

# A list as a Python program prints it, which is what pandas leaves in a CSV file: ['Dogs', "Cat's toys"]
_PRINTED_ITEM = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|\])""", re.DOTALL)
_AMOUNT = re.compile(r"(?<![\d.,-])\d[\d.,]*")
NOTHING = frozenset({"", "none", "null", "nan", "n/a", "na", "-", "—"})
_INT64 = 2**63


def as_text(series: pl.Series) -> pl.Series:
    """String: numbers as they are written (12, not 12.0), the texts of a list behind each other."""
    kind = series.dtype
    if kind == pl.String:
        return series
    if kind.is_float():
        whole = (series.is_finite() & (series == series.floor()) & (series.abs() < 2.0**53)).fill_null(False)
        texts = pl.select(
            pl.when(whole).then(series.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(series.cast(pl.String))
        ).to_series()
        return texts.set(series.is_nan().fill_null(False), None)
    if isinstance(kind, pl.List | pl.Array):
        return pl.Series([None if row is None else " ".join(flatten(row)) for row in series.to_list()], dtype=pl.String)
    if isinstance(kind, pl.Struct | pl.Object):
        rows = [None if row is None else json.dumps(row, ensure_ascii=False, default=str) for row in series.to_list()]
        return pl.Series(rows, dtype=pl.String)
    return series.cast(pl.String, strict=False)


def as_ids(series: pl.Series) -> pl.Series:
    """String without white space around; "" becomes null."""
    ids = as_text(series).str.strip_chars()
    return ids.set((ids == "").fill_null(False), None)


def as_joined(series: pl.Series) -> pl.Series:
    """String; a list, or the text of one (paragraphs), becomes one text."""
    text = as_text(series)
    lists = text.filter(text.str.starts_with("[").fill_null(False)).unique().to_list()
    joined = {t: " ".join(found) for t in lists if (found := parse_list(t)) is not None}
    return text.replace(list(joined), list(joined.values())) if joined else text


def flatten(value: Any) -> list[str]:
    """The texts of a list, of lists in it too; nulls left out.

    >>> flatten(["a", None, ["b", 2]])
    ['a', 'b', '2']
    """
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return [text for part in value for text in flatten(part)]
    return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)]


def parse_list(text: str) -> list[str] | None:
    """A list from its JSON text, or from the text that Python prints for a list of strings; ``None``: it is neither.

    >>> parse_list('["Dogs", "Beds"]'), parse_list("['Dogs', 'Beds']"), parse_list("[NEW] Dog bed")
    (['Dogs', 'Beds'], ['Dogs', 'Beds'], None)
    """
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return _parse_printed_list(text)
    try:
        return flatten(value)
    except RecursionError:
        return None


def _parse_printed_list(text: str) -> list[str] | None:
    items: list[str] = []
    at = 1
    while match := _PRINTED_ITEM.match(text, at):
        items.append(re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2]))
        at = match.end()
        if match[3] == "]":
            return items if at == len(text) else None
    return None


def as_lists(series: pl.Series, separator: str = "") -> list[list[str]]:
    """One list a row: of a list, of the text of a list, or of one text, split at ``separator`` if there is one.

    Of a list of lists (Amazon's older category paths) only the first is taken where ``separator`` is given.
    """
    if series.dtype != pl.String:
        rows = series.to_list()
        if isinstance(series.dtype, pl.List | pl.Array):
            if separator:
                rows = [row[0] if row and isinstance(row[0], list) else row for row in rows]
            return [flatten(row) for row in rows]
        series = as_text(series)
    return [[] if text is None else _list_of(text, separator) for text in series.to_list()]


def _list_of(text: str, separator: str) -> list[str]:
    found = parse_list(text)
    if found is not None:
        return found
    # Decoded first: "Dogs &gt; Beds" has a separator, and the semicolon of "Food &amp; Treats" is none.
    return html.unescape(text).split(separator) if separator else [text]


def list_column(rows: Sequence[Sequence[str]]) -> pl.Series:
    """List[String] of the rows; three times as fast as ``pl.Series(rows)``, which builds one series a row."""
    at = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    flat = pl.DataFrame({"at": at, "row": pl.Series([text for row in rows for text in row], dtype=pl.String)})
    filled = flat.group_by("at", maintain_order=True).agg("row")
    every = pl.DataFrame({"at": np.arange(len(rows))}).join(filled, on="at", how="left", maintain_order="left")
    return every["row"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def parse_price(text: str) -> float | None:
    """The first amount in a text; ``None``: there is none.

    >>> [parse_price(t) for t in ("$1,299.00", "1.299,00 €", "12,50", "from $5.99 to 7", "None", "-3")]
    [1299.0, 1299.0, 12.5, 5.99, None, None]
    """
    match = _AMOUNT.search(text)
    if match is None or text.strip().startswith("-"):
        return None
    amount = match[0].rstrip(".,")
    comma, point = amount.rfind(","), amount.rfind(".")
    if comma > point and (point >= 0 or not re.fullmatch(r"\d{1,3}(,\d{3})+", amount)):
        amount = amount.replace(".", "").replace(",", ".")  # 1.299,00 or 12,50
    amount = amount.replace(",", "")
    if amount.count(".") > 1:
        amount = amount.replace(".", "")  # 1.299.000
    value = float(amount)
    return value if math.isfinite(value) else None


def as_prices(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Float64 prices, null where unknown; and a bool for the rows with a text that is no price."""
    text = as_text(series).str.strip_chars()
    value = text.cast(pl.Float64, strict=False)
    value = value.set((~value.is_finite() | (value < 0)).fill_null(False), None)
    odd = text.filter(value.is_null() & text.is_not_null()).unique().to_list()
    if odd:
        value = value.zip_with(
            value.is_not_null(), text.replace_strict(odd, [parse_price(t) for t in odd], default=None, return_dtype=pl.Float64)
        )
    empty = text.is_null() | text.str.to_lowercase().is_in(list(NOTHING))
    return value, value.is_null() & ~empty


def as_times(series: pl.Series) -> pl.Series:
    """Int64 or Float64, null where unreadable. Numbers stay in their own unit; dates become milliseconds since 1970.

    A date without a zone is taken as UTC. What most rows hold, numbers or dates, decides for the column: one odd row
    must not stand at another scale.
    """
    kind = series.dtype
    if isinstance(kind, pl.Date | pl.Datetime):
        return series.cast(pl.Datetime("ms")).dt.epoch("ms")
    if kind.is_integer():
        return series.cast(pl.Int64, strict=False)
    if kind.is_float():
        return _whole_if_possible(series.cast(pl.Float64))
    text = as_text(series).str.strip_chars()
    text = text.set((text == "").fill_null(False), None)
    whole = text.cast(pl.Int64, strict=False)
    if whole.null_count() == text.null_count():
        return whole
    numbers = text.cast(pl.Float64, strict=False)
    if 2 * numbers.is_not_null().sum() >= text.is_not_null().sum():
        broken = numbers.filter(whole.is_null() & numbers.is_not_null())
        return whole if _whole_if_possible(broken).null_count() == len(broken) else _whole_if_possible(numbers)
    known = {t: _milliseconds(t) for t in text.unique().to_list() if t is not None}
    return text.replace_strict(list(known), list(known.values()), default=None, return_dtype=pl.Int64)


def _whole_if_possible(numbers: pl.Series) -> pl.Series:
    numbers = numbers.set((~numbers.is_finite() | (numbers.abs() >= float(_INT64))).fill_null(False), None)
    if (numbers == numbers.floor()).all():
        return numbers.cast(pl.Int64)
    return numbers


def _milliseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
