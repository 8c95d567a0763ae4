"""The columns and types of a corpus's tables. Apart from ``types.py``, for what decodes must not need polars."""

from __future__ import annotations

import polars as pl

from sidrec import columns as c
from sidrec.errors import DataError

ITEM_SCHEMA: dict[str, pl.DataType] = {
    c.ITEM_ID: pl.String(),
    c.TITLE: pl.String(),
    c.DESCRIPTION: pl.String(),
    c.FEATURES: pl.List(pl.String()),
    c.BRAND: pl.String(),
    c.CATEGORY: pl.List(pl.String()),
    c.PRICE: pl.Float64(),
    c.COLD: pl.Boolean(),
}
ATTRIBUTE_TYPES: tuple[pl.DataType, ...] = (pl.String(), pl.Float64(), pl.Boolean(), pl.List(pl.String()))
"""What the shop's own further columns may be; they stand behind those of ``ITEM_SCHEMA``, and null is a missing value."""
HISTORY_SCHEMA: dict[str, pl.DataType] = {
    c.USER_ID: pl.String(),
    c.ITEMS: pl.List(pl.Int32()),
    c.TIMES: pl.List(pl.Int64()),
    c.TRAIN_END: pl.Int32(),
    c.VALID_END: pl.Int32(),
}
DROPPED_SCHEMA: dict[str, pl.DataType] = {
    c.KIND: pl.String(),
    c.REASON: pl.String(),
    c.SOURCE: pl.String(),
    c.LINE: pl.Int64(),
    c.KEY: pl.String(),
    c.DETAIL: pl.String(),
}


def check(name: str, frame: pl.DataFrame, schema: dict[str, pl.DataType], further: tuple[pl.DataType, ...] = ()) -> None:
    """Refuse a table of a corpus whose columns are not those of ``schema``; further ones may have the types ``further``.

    Raises:
        DataError: a column is missing, of another type, or not expected.
    """
    found = {k: kind for k, kind in frame.schema.items() if k in schema or kind not in further}
    if found != schema:
        wrong = [f"{k}: {found.get(k, 'missing')} instead of {v}" for k, v in schema.items() if found.get(k) != v]
        wrong += [f"{k}: not expected" for k in found if k not in schema]
        raise DataError(f"the table {name!r} of a corpus has the wrong columns ({'; '.join(wrong)})")
