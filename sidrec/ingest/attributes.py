"""Further columns of the catalogue, kept for filters: each typed once, for the whole column, from all its values.

A column is numbers, truth values or lists if every value that it has is one; anything else makes it text. So no value
is lost to a guess, and a column that one odd row turns into text is told by ``sidrec doctor``.
"""

from __future__ import annotations

import polars as pl

from sidrec.ingest.rows import shorten
from sidrec.ingest.text import clean_list, clean_text
from sidrec.ingest.values import NOTHING, as_text, flatten, list_column, parse_list

_TRUTH = {"true": True, "yes": True, "y": True, "false": False, "no": False, "n": False}
_NUMBER = r"^[+-]?(0|[1-9]\d*|0?\.\d+|0\.\d*|[1-9]\d*\.\d*)([eE][+-]?\d+)?$"  # 007 is the name of an agent
_MOST = 0.9  # of the values: what makes a text column look as if it were meant otherwise
LIST = pl.List(pl.String())


def attribute_type(values: pl.Series) -> pl.DataType:
    """String, Float64, Boolean or List(String): what every value that is there can be read as."""
    kind = values.dtype
    if kind == pl.Boolean:
        return pl.Boolean()
    if kind.is_numeric():
        return pl.Float64()
    if isinstance(kind, pl.List | pl.Array):
        return LIST
    there = _there(_texts(values)).unique()
    shares = _shares(there) if len(there) else []
    return next((found for found, share in shares if share == 1.0), pl.String())


def as_attribute(values: pl.Series, kind: pl.DataType, max_chars: int) -> pl.Series:
    """The values as ``kind`` (see ``attribute_type``); null where there is none, or where it is none of that kind.

    Texts are cleaned like titles, and cut at ``max_chars``.
    """
    if kind == LIST:
        return _lists(values, max_chars)
    if values.dtype == pl.Boolean and kind == pl.Boolean:
        return values
    texts = _texts(values)
    if kind == pl.Boolean:
        return texts.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    if kind == pl.Float64:
        numbers = values.cast(pl.Float64) if values.dtype.is_numeric() else texts.cast(pl.Float64, strict=False)
        return numbers.set((~numbers.is_finite()).fill_null(False), None)
    known = texts.drop_nulls().unique().to_list()
    cleaned = [clean_text(text, max_chars) or None for text in known]
    return texts.replace_strict(known, cleaned, default=None, return_dtype=pl.String)


def odd_values(values: pl.Series) -> tuple[str, int, str] | None:
    """Of a column that became text although most of it is something else: what, how many are not, and the first such."""
    if attribute_type(values) != pl.String:
        return None
    there = _there(_texts(values))
    for kind, share in _shares(there) if len(there) else []:
        if share >= _MOST:
            odd = there.filter(~_is(there, kind))
            return str(kind), len(odd), shorten(odd[0])
    return None


def _texts(values: pl.Series) -> pl.Series:
    """Dates as ISO 8601, so that they sort; "" is null."""
    if isinstance(values.dtype, pl.Datetime):
        values = values.dt.to_string("iso:strict")
    texts = as_text(values).str.strip_chars()
    return texts.set((texts == "").fill_null(False), None)


def _there(texts: pl.Series) -> pl.Series:
    return texts.filter(texts.is_not_null() & ~texts.str.to_lowercase().is_in(list(NOTHING)))


def _shares(there: pl.Series) -> list[tuple[pl.DataType, float]]:
    kinds: tuple[pl.DataType, ...] = (pl.Boolean(), pl.Float64(), LIST)
    return [(kind, float(_is(there, kind).to_numpy().mean())) for kind in kinds]


def _is(texts: pl.Series, kind: pl.DataType) -> pl.Series:
    if kind == pl.Boolean:
        return texts.str.to_lowercase().is_in(list(_TRUTH))
    if kind == pl.Float64:
        return texts.str.contains(_NUMBER) & texts.cast(pl.Float64, strict=False).is_finite().fill_null(False)
    return texts.str.starts_with("[") & pl.Series([parse_list(text) is not None for text in texts.to_list()], dtype=pl.Boolean)


def _lists(values: pl.Series, max_chars: int) -> pl.Series:
    given = values.to_list() if isinstance(values.dtype, pl.List | pl.Array) else [
        None if text is None else parse_list(text) for text in _texts(values).to_list()
    ]  # fmt: skip
    cleaned = list_column([clean_list(flatten(row), max_chars, None)[0] if row else [] for row in given])
    return cleaned.set(pl.Series([row is None for row in given], dtype=pl.Boolean), None) if len(cleaned) else cleaned
