"""JSON Lines: one object a line. Polars reads a block; where it cannot, each line is read alone.

Every wanted value comes as text, whatever its JSON type (a price may be 12.5 in one line and "None" in the next); an
array or an object comes as its JSON text, which ``values.py`` reads again.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sidrec.errors import DataError
from sidrec.ingest.rows import AT, BadRows, shorten

_HALF_PAIR = re.compile("[\ud800-\udfff]")
_SAMPLE = 1000  # objects whose keys are taken for the columns


class JsonlReader:
    """``blocks`` end behind a newline, the last one perhaps not."""

    def __init__(self, blocks: Iterator[bytes], path: Path) -> None:
        first = next(blocks, b"")
        if not first.strip():
            raise DataError(f"{path} is empty; it must hold one JSON object a line")
        self._blocks = chain([first], blocks)
        keys: dict[str, None] = {}
        for line in first.split(b"\n", _SAMPLE)[:_SAMPLE]:
            row = _object(line)
            keys.update(dict.fromkeys(row if isinstance(row, dict) else ()))
        self.columns = tuple(keys)

    def read(self, wanted: Sequence[str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """Frames with the wanted columns (String) and the line of each row."""
        base = 1
        for block in self._blocks:
            lines = block.split(b"\n")
            filled = np.asarray([not (not line or line.isspace()) for line in lines], dtype=np.bool_)
            frame = _fast(block, wanted, base + np.flatnonzero(filled))
            yield _slow(lines, wanted, base, bad) if frame is None else frame
            base += len(lines) - 1


def _fast(block: bytes, wanted: Sequence[str], lines: np.ndarray[Any, np.dtype[np.int64]]) -> pl.DataFrame | None:
    try:
        block.decode("utf-8")
        frame = pl.read_ndjson(io.BytesIO(block), schema=dict.fromkeys(wanted, pl.String()))
    except (UnicodeDecodeError, pl.exceptions.PolarsError):
        return None
    if frame.height != len(lines):
        return None
    return frame.with_columns(pl.Series(AT, lines, dtype=pl.Int64))


def _slow(lines: Sequence[bytes], wanted: Sequence[str], base: int, bad: BadRows) -> pl.DataFrame:
    cells: dict[str, list[str | None]] = {name: [] for name in wanted}
    numbers: list[int] = []
    for number, line in enumerate(lines, base):
        if not line.strip():
            continue
        row = _object(line)
        if isinstance(row, str):
            bad.add(number, row)
            continue
        numbers.append(number)
        for name, column in cells.items():
            column.append(_text(row.get(name)))
    schema = {**dict.fromkeys(wanted, pl.String()), AT: pl.Int64()}
    return pl.DataFrame({**cells, AT: numbers}, schema=schema)


def _object(line: bytes) -> dict[str, Any] | str:
    """The object, or what is wrong with the line."""
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_first_wins)
    except UnicodeDecodeError:
        return f"not UTF-8: {shorten(line.decode('utf-8', 'replace'), 80)}"
    except (ValueError, RecursionError) as error:
        return f"not JSON ({shorten(str(error), 60)}): {shorten(line.decode('utf-8'), 60)}"
    if not isinstance(value, dict):
        return f"not a JSON object: {shorten(line.decode('utf-8'), 80)}"
    return value


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two equal keys polars takes the first; the slow way must not differ."""
    row = dict(pairs)
    return row if len(row) == len(pairs) else {**row, **dict(reversed(pairs))}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Half a surrogate pair cannot be written in UTF-8; polars makes it a NUL, which cleaning removes.
    return text if text.isascii() else _HALF_PAIR.sub("\0", text)
