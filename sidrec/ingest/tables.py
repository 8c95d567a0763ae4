"""One table of a file, whatever its format: the wanted columns, the line of each row, and the rows that are broken."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sidrec.errors import DataError
from sidrec.ingest.delimited import DelimitedReader
from sidrec.ingest.formats import blocks, format_of, require_file, whole
from sidrec.ingest.jsonl import JsonlReader
from sidrec.ingest.rows import AT, BadRows
from sidrec.log import progress

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Table:
    """What was read of one file.

    ``frame`` has the wanted columns and ``line``: the 1-based line on which a row starts (Parquet: its row number).
    Values of text formats are String; Parquet keeps its own types. ``bad`` are the rows that could not be read.
    """

    path: Path
    frame: pl.DataFrame
    bad: BadRows
    columns: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.frame.height + len(self.bad.lines)


def read_table(path: Path, wanted: Mapping[str, str], max_rows: int | None = None) -> Table:
    """Read some columns of a CSV, TSV, JSONL or Parquet file, gzipped or not.

    Args:
        path: its ending tells the format.
        wanted: column of the file -> the config key that asks for it, for the message when it is missing. Empty: all.
        max_rows: stop soon after so many rows (for guessing).

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown format, or a wanted column is not there.
    """
    require_file(path, "the file's name")
    form = format_of(path)
    bad = BadRows()
    if form.kind == "parquet":
        frame, columns = _read_parquet(path, form.gzipped, wanted)
        return Table(path, frame if max_rows is None else frame.head(max_rows), bad, columns)
    with progress(f"read {path.name} (MiB)", max(1, path.stat().st_size // _MIB)) as bar:
        seen = [0]

        def advance(n: int) -> None:
            seen[0] += n
            bar.advance(seen[0] // _MIB)
            seen[0] %= _MIB

        stream = blocks(path, form.gzipped, advance)
        reader = DelimitedReader(stream, form.separator, path) if form.kind == "delimited" else JsonlReader(stream, path)
        names = _wanted_names(path, wanted, reader.columns, strict=form.kind == "delimited")
        frames: list[pl.DataFrame] = []
        for frame in reader.read(names, bad):
            frames.append(frame)
            if max_rows is not None and sum(f.height for f in frames) >= max_rows:
                break
    table = pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(names, pl.String) | {AT: pl.Int64})
    if bad.lines and not table.height and form.kind != "delimited":
        raise DataError(
            f"{path}: none of its {len(bad.lines)} rows can be read; the first is line {bad.lines[0]}: {bad.details[0]}"
        )
    for name in names:  # a key that no sampled line has may still come later
        if name not in reader.columns and table[name].null_count() == table.height:
            raise _missing(path, name, wanted[name], reader.columns)
    return Table(path, table, bad, reader.columns)


def _wanted_names(path: Path, wanted: Mapping[str, str], found: tuple[str, ...], *, strict: bool) -> list[str]:
    for name in wanted:
        if strict and name not in found:
            raise _missing(path, name, wanted[name], found)
    return list(wanted) or [name for name in dict.fromkeys(found) if name]


def _missing(path: Path, name: str, key: str, found: tuple[str, ...]) -> DataError:
    lower = {column.lower(): column for column in found}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    hint = f"; did you mean {lower[close[0]]!r}?" if close else ""
    listed = ", ".join(found[:30]) + (", ..." if len(found) > 30 else "")
    return DataError(f"{path} has no column {name!r}, which {key} names{hint} (columns found: {listed or 'none'})")


def _read_parquet(path: Path, gzipped: bool, wanted: Mapping[str, str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    source = whole(path, gzipped)
    try:
        found = tuple(pl.read_parquet_schema(source))
        names = _wanted_names(path, wanted, found, strict=True)
        if not isinstance(source, Path):
            source.seek(0)
        frame = pl.read_parquet(source, columns=names)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({error}); write it again") from None
    return frame.select(pl.all(), pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(AT)), found
