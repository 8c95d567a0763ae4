"""Customers and what they bought from a file of any known format, a block at a time: the file may hold millions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sidrec import columns as c
from sidrec.errors import DataError
from sidrec.ingest.delimited import DelimitedReader
from sidrec.ingest.formats import blocks, format_of, require_file, whole
from sidrec.ingest.jsonl import JsonlReader
from sidrec.ingest.rows import AT, BadRows
from sidrec.ingest.values import as_ids, as_lists, list_column

USER_NAMES = (c.USER_ID, c.USER)
HISTORY_NAMES = (c.ITEMS, "item_ids", "history")
SEPARATOR = ","  # between the ids of a history that is one text, as in `--history ID,ID`
_PARQUET_ROWS = 16_384


def read_users(path: Path) -> Iterator[pl.DataFrame]:
    """Frames of ``user_id`` (String), ``items`` (List[String], item ids oldest first) and ``AT`` (the row's line).

    The file (CSV, TSV, JSONL, Parquet) has a row a customer: an id, and a list of item ids or one text of them with commas
    between. A customer without any is an empty list.

    Raises:
        DataError: no such file, not readable, a column is missing, or a row is broken; its line is named. All rows count
            here: a customer must not fall out silently.
    """
    require_file(path, "--users")
    form = format_of(path)
    if form.kind == "parquet":
        yield from (_frame(frame, path) for frame in _parquet(path, form.gzipped))
        return
    stream = blocks(path, form.gzipped)
    reader = DelimitedReader(stream, form.separator, path) if form.kind == "delimited" else JsonlReader(stream, path)
    user, history = _names(path, reader.columns)
    bad = BadRows()
    for frame in reader.read([user, history], bad):
        if bad.lines:
            raise DataError(f"{path}, line {bad.lines[0]}: {bad.details[0]}; mend the row or take it out")
        yield _frame(frame.rename({user: c.USER_ID, history: c.ITEMS}), path)


def _parquet(path: Path, gzipped: bool) -> Iterator[pl.DataFrame]:
    source: Any = whole(path, gzipped)
    try:
        user, history = _names(path, tuple(pl.read_parquet_schema(source)))
        if not isinstance(source, Path):
            source.seek(0)
        rows = pl.scan_parquet(source).select(pl.col(user).alias(c.USER_ID), pl.col(history).alias(c.ITEMS))
        total = rows.select(pl.len()).collect().item()
        for start in range(0, total, _PARQUET_ROWS):
            frame = rows.slice(start, _PARQUET_ROWS).collect()
            yield frame.with_columns(pl.int_range(start + 1, start + 1 + pl.len(), dtype=pl.Int64).alias(AT))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}); write it again") from None


def _names(path: Path, found: Sequence[str]) -> tuple[str, str]:
    chosen: list[str] = []
    for what, names in (("the customer's id", USER_NAMES), ("the items bought", HISTORY_NAMES)):
        name = next((name for name in names if name in found), None)
        if name is None:
            raise DataError(
                f"{path} has no column for {what}: expected one called {' or '.join(names)}, found {', '.join(found) or 'none'}"
            )
        chosen.append(name)
    return chosen[0], chosen[1]


def _frame(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    users = as_ids(frame[c.USER_ID])
    if users.null_count():
        line = frame[AT].filter(users.is_null())[0]
        raise DataError(f"{path}, line {line}: a customer without an id; give every row one")
    lists = as_lists(frame[c.ITEMS], SEPARATOR)
    items = list_column([[item for text in row if (item := text.strip())] for row in lists])
    return pl.DataFrame({c.USER_ID: users, c.ITEMS: items, AT: frame[AT]})
