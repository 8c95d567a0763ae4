"""The columns of a catalogue made ready for filters: typed, folded for comparison, each on its first use."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.errors import DataError

Kind = Literal["number", "text", "truth value", "list"]


def fold(text: str) -> str:
    """A text as it is compared: Unicode composed, upper and lower case alike.

    >>> fold("CAFE\\u0301") == fold("café"), fold("STRASSE") == fold("Straße")
    (True, True)
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def fold_all(texts: pl.Series) -> pl.Series:
    """``fold`` of each; nulls stay. ASCII, where lower case is all of it, takes polars' fast way."""
    folded = texts.str.to_lowercase()
    wide = (texts.str.len_bytes() != texts.str.len_chars()).fill_null(False).arg_true()
    if not len(wide):
        return folded
    return folded.scatter(wide, [fold(text) for text in texts.gather(wide).to_list()])


@dataclass(frozen=True, slots=True)
class Column:
    """``values``: numbers, truth values or folded texts, null where missing; one a row, but of a list one an entry, and
    then ``rows`` (int ``(entries,)``) says whose. ``present`` bool ``(N,)``.
    """

    kind: Kind
    values: pl.Series
    present: NDArray[np.bool_]
    rows: NDArray[np.integer] | None = None


@dataclass(frozen=True)
class FilterColumns:
    """A catalogue of one version, as filters see it; made by ``of``. Safe to share between threads.

    Missing is what is null, and an empty text or list: a shop that has no brand for an item often says so with "".
    """

    frame: pl.DataFrame
    _ready: dict[str, Column] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, items: pl.DataFrame, purchases: NDArray[np.integer]) -> FilterColumns:
        """From ``types.Corpus.items`` (or more rows of the same columns) and how often each was bought in training.

        The latter, ``(N,)``, makes the columns ``popularity`` and ``novelty``.

        Raises:
            DataError: not one number an item.
        """
        if purchases.shape != (items.height,):
            raise DataError(f"{items.height} items need as many numbers of purchases, found the shape {purchases.shape}")
        known = pl.Series(c.POPULARITY, purchases.astype(np.float64)), pl.Series(c.NOVELTY, novelty(purchases))
        return cls(items.with_columns(*known))

    def of_items(self, items: Sequence[int]) -> FilterColumns:
        """Some rows alone, in this order."""
        return FilterColumns(self.frame[list(items)])

    @property
    def n_items(self) -> int:
        return self.frame.height

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """Every column that a filter may name."""
        return {name: kind for name, dtype in self.frame.schema.items() if (kind := _kind(dtype))}

    def column(self, name: str) -> Column:
        """A column of ``kinds``. Two threads may both make it: they make the same."""
        if name not in self._ready:
            self._ready[name] = _prepare(self.frame[name])
        return self._ready[name]

    def value(self, name: str, item: int) -> Any:
        """What the catalogue says of an item: a number, text, truth value, list of texts or ``None``."""
        return self.frame[name].slice(item, 1).to_list()[0]


def novelty(purchases: NDArray[np.integer]) -> NDArray[np.float64]:
    """Bits: ``-log2`` of an item's share of all purchases, each item counted once more, so that 0 purchases have one.

    High for what few people know (self-information; Zhou et al., "Solving the apparent diversity-accuracy dilemma of
    recommender systems", 2010).

    >>> novelty(np.array([5, 1, 0, 0])).round(2).tolist()
    [0.74, 2.32, 3.32, 3.32]
    """
    counted = purchases.astype(np.float64) + 1.0
    found: NDArray[np.float64] = np.log2(counted.sum() or 1.0) - np.log2(counted)
    return found


def _kind(dtype: pl.DataType) -> Kind | None:
    if dtype == pl.List(pl.String):
        return "list"
    if dtype == pl.Boolean:
        return "truth value"
    return "text" if dtype == pl.String else "number" if dtype.is_numeric() else None


def _prepare(series: pl.Series) -> Column:
    kind = _kind(series.dtype)
    if kind == "list":
        lengths = series.list.len().fill_null(0).to_numpy()
        entries = fold_all(series.filter(pl.Series(lengths > 0)).explode())
        rows = np.repeat(np.arange(len(series), dtype=np.int32), lengths)
        return Column(kind, entries, lengths > 0, rows)
    if kind == "text":
        values = fold_all(series)
        return Column(kind, values, (values != "").fill_null(False).to_numpy())
    if kind == "number":
        return Column(
            kind, series.cast(pl.Float64).fill_nan(None), series.cast(pl.Float64).is_finite().fill_null(False).to_numpy()
        )
    return Column("truth value", series, series.is_not_null().to_numpy())
