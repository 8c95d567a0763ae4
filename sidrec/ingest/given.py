"""Vectors of items that the shop has already (of images, say): a table of lists, or an array with the ids of its rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from sidrec.config import GivenVectors, IngestConfig
from sidrec.errors import ConfigError, DataError
from sidrec.ingest.formats import require_file
from sidrec.ingest.sources import id_column, source_files
from sidrec.ingest.tables import read_table
from sidrec.ingest.values import as_ids

_TENSOR = "vectors"


def given_files(given: Sequence[GivenVectors], config: IngestConfig) -> list[Path]:
    """The file of each, in order; the items table for those that name none.

    Raises:
        ConfigError: the demo shop has no such table, or a name stands twice.
        DataError: a file is missing.
    """
    names = [one.name for one in given]
    if len(set(names)) < len(names):
        raise ConfigError(f"embed.given names {max(names, key=names.count)!r} twice: each needs a name of its own")
    found = []
    for one in given:
        if one.file:
            found.append(require_file(Path(one.file), f"embed.given, file of {one.name!r},"))
        elif config.source == "demo":
            raise ConfigError(f"embed.given: the demo shop has no vectors {one.name!r}; name a file")
        else:
            found.append(source_files(config)[0])
    return found


def read_given(given: GivenVectors, path: Path, config: IngestConfig, item_ids: Sequence[str]) -> NDArray[np.float32]:
    """Float32 ``(N, E)``, unit rows in the order of ``item_ids``; a zero row for an item that the file has no vector of.

    Vectors of items that are not asked for are passed over.

    Raises:
        DataError: the file cannot be read, its rows differ in width, an id stands twice, or a vector is zero or not finite.
    """
    ids, rows = _read_array(path) if path.suffix in (".npy", ".safetensors") else _read_lists(given, path, config)
    place: dict[str, int] = {}
    for row, item_id in enumerate(ids):
        if place.setdefault(item_id, row) != row:
            raise DataError(f"{path}: item {item_id!r} has two vectors (rows {place[item_id] + 1} and {row + 1}); keep one")
    wanted = np.asarray([place.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
    there = np.flatnonzero(wanted >= 0)
    vectors = np.zeros((len(item_ids), rows.shape[1]), dtype=np.float32)
    vectors[there] = rows[wanted[there]]
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad = there[~(np.isfinite(norms[there]) & (norms[there] > 0))]
    if len(bad):
        what = "is zero" if norms[bad[0]] == 0 else "holds a value that is not finite"
        more = f" ({len(bad) - 1} more are like it)" if len(bad) > 1 else ""
        raise DataError(
            f"{path}: the vector {given.name!r} of item {item_ids[bad[0]]!r} {what}{more}; "
            "leave out the rows of items that have none"
        )
    vectors[there] /= norms[there, None].astype(np.float32)
    return vectors


def _read_array(path: Path) -> tuple[list[str], NDArray[np.floating[Any]]]:
    beside = path.with_suffix(".ids.txt")
    require_file(beside, "that it lies beside the vectors and names the item of each row; see embed.given")
    try:
        found = np.load(path, mmap_mode="r") if path.suffix == ".npy" else load_file(path)[_TENSOR]
    except (ValueError, OSError, SafetensorError, KeyError) as error:
        raise DataError(f"{path} is no array of vectors ({error}); a .safetensors file needs a tensor {_TENSOR!r}") from None
    ids = [line.strip() for line in beside.read_text("utf-8").splitlines() if line.strip()]
    if found.ndim != 2 or not np.issubdtype(found.dtype, np.floating) or len(found) != len(ids):
        raise DataError(
            f"{path} holds {found.dtype} {found.shape}, {beside.name} names {len(ids)} items: expected floats, one row an item"
        )
    return ids, found


def _read_lists(given: GivenVectors, path: Path, config: IngestConfig) -> tuple[list[str], NDArray[np.floating[Any]]]:
    column = given.column or given.name
    key = id_column(config)
    table = read_table(path, {key: "ingest.tables.columns.item_id", column: f"embed.given, column of {given.name!r},"})
    frame = pl.DataFrame({"id": as_ids(table.frame[key]), "vector": _lists(table.frame[column], path)})
    frame = frame.filter(pl.col("id").is_not_null() & pl.col("vector").list.len().gt(0).fill_null(False))
    widths = frame["vector"].list.len().unique().sort().to_list()
    if len(widths) > 1:
        odd = frame.filter(pl.col("vector").list.len() != widths[-1])["id"][0]
        raise DataError(
            f"{path}: the vectors {given.name!r} differ in width ({widths[0]} to {widths[-1]}; item {odd!r} is one)"
        )
    if not widths:
        raise DataError(f"{path}: no item has a vector in the column {column!r}")
    rows = frame["vector"].fill_null(float("nan")) if frame["vector"].has_nulls() else frame["vector"]
    return frame["id"].to_list(), rows.list.to_array(widths[0]).to_numpy()


def _lists(column: pl.Series, path: Path) -> pl.Series:
    """List[Float64]; of a text format, from the JSON text of a list."""
    kind = column.dtype
    if isinstance(kind, pl.Array):
        column = column.arr.to_list()
    if column.dtype != pl.String:
        try:
            return column.cast(pl.List(pl.Float64))
        except pl.exceptions.PolarsError:
            raise DataError(f"{path}: the column {column.name!r} holds {kind}, expected lists of numbers") from None
    rows: list[list[float] | None] = []
    for line, text in enumerate(column.to_list(), start=1):
        try:
            rows.append([float(value) for value in json.loads(text)] if text and text.strip() else None)
        except (ValueError, TypeError):
            raise DataError(f"{path}: {text[:40]!r} (item row {line}) is no list of numbers, such as [0.1, 0.2]") from None
    return pl.Series(rows, dtype=pl.List(pl.Float64))
