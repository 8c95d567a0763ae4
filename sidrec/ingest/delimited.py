"""CSV and TSV: fast where a block is well formed, record by record where it is not.

Polars fills a short row with nulls and says nothing, so every block is measured first: numpy finds the separators and
line ends outside quotes, and only a block in which each record has as many fields as the header goes to polars.
Any other block is read record by record, so that a bad row is named by its line and costs only itself.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.ingest.rows import AT, BadRows, shorten

_QUOTE, _NEWLINE, _RETURN = b'"'[0], b"\n"[0], b"\r"[0]
_MAX_LINES = 200  # a quoted field with more lines than this is a stray quote
_MAX_OPEN_BYTES = 2**20  # the same in bytes


class DelimitedReader:
    """``blocks`` end behind a newline; the first line that is not blank is the header."""

    def __init__(self, blocks: Iterator[bytes], separator: str, path: Path) -> None:
        self._path, self._blocks = path, blocks
        self._line = 1  # of the first byte not yet used
        block = b""
        for raw in blocks:
            block = raw.lstrip(b"\r\n")
            self._line += raw.count(b"\n") - block.count(b"\n")
            if block:
                break
        if not block:
            raise DataError(f"{path} is empty; its first line must name the columns")
        end = block.find(b"\n") + 1 or len(block)
        header = block[:end].decode("utf-8", "replace").rstrip("\r\n")
        self._separator = separator if separator in header else _likely_separator(header, separator)
        self.columns = tuple(name.strip() for name in next(csv.reader([header], delimiter=self._separator)))
        self._line += 1
        self._rest = block[end:]

    def read(self, wanted: Sequence[str], bad: BadRows) -> Iterator[pl.DataFrame]:
        """Frames with the wanted columns (String) and the line on which each row starts.

        Raises:
            DataError: a wanted column occurs twice.
        """
        for name in wanted:
            if self.columns.count(name) > 1:
                raise DataError(f"{self._path} has {self.columns.count(name)} columns called {name!r}; rename all but one")
        places = [self.columns.index(name) for name in wanted]
        carry = b""
        for block, final in self._with_end():
            data = carry + block
            fast = self._fast(data, final, places)
            cells, lines, used = self._slow(data, final, places, bad) if fast is None else fast
            carry = data[used:]
            self._line += data.count(b"\n", 0, used)
            cells.columns = list(wanted)
            yield cells.with_columns(pl.Series(AT, lines, dtype=pl.Int64))

    def _with_end(self) -> Iterator[tuple[bytes, bool]]:
        """Each block, and whether it is the last; the last one ends with a newline like all others."""
        held = self._rest
        for block in self._blocks:
            yield held, False
            held = block
        yield held if held.endswith(b"\n") or not held else held + b"\n", True

    def _fast(self, data: bytes, final: bool, places: Sequence[int]) -> tuple[pl.DataFrame, NDArray[np.int64], int] | None:
        """Cells, start lines and bytes used; ``None`` if a record is not as it should be."""
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return None
        starts = _records(data, ord(self._separator), len(self.columns))
        if starts is None:
            return None
        used = int(starts[-1])
        if used < len(data) and (final or len(data) - used > _MAX_OPEN_BYTES):
            return None
        ends_of_line = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
        lines = self._line + np.searchsorted(ends_of_line, starts[:-1])
        if not len(lines):
            return pl.DataFrame(schema=dict.fromkeys(map(str, places), pl.String)), lines, used
        try:
            cells = pl.read_csv(
                io.BytesIO(data[:used]),
                has_header=False,
                separator=self._separator,
                infer_schema=False,
                columns=sorted(places),
            )
        except pl.exceptions.PolarsError:
            return None
        if cells.height != len(lines):
            return None
        cells.columns = [str(i) for i in sorted(places)]
        return cells.select(str(i) for i in places), lines, used

    def _slow(
        self, data: bytes, final: bool, places: Sequence[int], bad: BadRows
    ) -> tuple[pl.DataFrame, NDArray[np.int64], int]:
        """The same, one record at a time; what is wrong goes to ``bad``."""
        raw = data.split(b"\n")
        raw.pop()  # what stands behind the last newline: nothing
        cells: list[list[str]] = [[] for _ in places]
        lines: list[int] = []
        at = used = 0
        while at < len(raw):
            fields, taken = self._record(raw, at)
            if fields is None and taken and not final:
                break  # the record may go on in the next block
            if fields is None or len(fields) != len(self.columns):
                if raw[at].strip():
                    bad.add(self._line + at, self._complaint(raw[at], fields))
                taken = 1
            else:
                lines.append(self._line + at)
                for column, place in zip(cells, places, strict=True):
                    column.append(fields[place])
            used += sum(len(line) + 1 for line in raw[at : at + taken])
            at += taken
        table = {str(i): column for i, column in zip(places, cells, strict=True)}
        return pl.DataFrame(table, schema=dict.fromkeys(table, pl.String)), np.asarray(lines, dtype=np.int64), used

    def _record(self, raw: Sequence[bytes], at: int) -> tuple[list[str] | None, int]:
        """The fields of the record that starts at ``raw[at]``, and how many lines it takes.

        No fields and 0 lines: it cannot be read. No fields and some lines: it is still open where the block ends.
        """
        try:
            line = raw[at].decode("utf-8").removesuffix("\r")
            if '"' not in line:
                return line.split(self._separator), 1
            window = (part.decode("utf-8") + "\n" for part in raw[at : at + _MAX_LINES])
            reader = csv.reader(window, delimiter=self._separator, strict=True)
            fields = next(reader)
            taken = reader.line_num
        except UnicodeDecodeError:
            return None, 0
        except csv.Error as error:
            fields = []
            taken = len(raw) - at if at + _MAX_LINES > len(raw) and "unexpected end" in str(error) else 0
        if self._separator == "\t" and len(fields) != len(self.columns):
            # Many TSV files are written without any quoting: there a quote is a letter.
            return line.split(self._separator), 1
        return fields or None, taken

    def _complaint(self, line: bytes, fields: Sequence[str] | None) -> str:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return f"not UTF-8: {shorten(line.decode('utf-8', 'replace'), 80)}"
        if fields is None:
            return f"a quote is not closed: {shorten(text, 80)}"
        return f"{len(fields)} fields instead of {len(self.columns)}: {shorten(text, 80)}"


def _likely_separator(header: str, expected: str) -> str:
    """Spreadsheets of many countries write ``.csv`` with semicolons: the commonest candidate, if there is one."""
    found = max(",;\t|", key=header.count)
    return found if found in header else expected


def _records(data: bytes, separator: int, width: int) -> NDArray[np.int64] | None:
    """Where each record starts, and behind them where the last whole one ends.

    ``None`` where a quote stands in an odd place, a line is blank, or a record has not ``width`` fields.
    """
    at = np.frombuffer(data, np.uint8)
    newline, parts = at == _NEWLINE, at == separator
    if _QUOTE in data:
        quote = at == _QUOTE
        inside = np.bitwise_xor.accumulate(quote.view(np.uint8)).view(np.bool_)
        around = np.concatenate(([_NEWLINE], at, [_NEWLINE])).astype(np.uint8)
        before, after = around[:-2], around[2:]
        opens, closes = quote & inside, quote & ~inside
        edges_before = (before == separator) | (before == _NEWLINE) | (before == _QUOTE)
        edges_after = (after == separator) | (after == _NEWLINE) | (after == _RETURN) | (after == _QUOTE)
        if (opens & ~edges_before).any() or (closes & ~edges_after).any():
            return None
        newline &= ~inside
        parts &= ~inside
    ends = np.flatnonzero(newline)
    starts = np.concatenate(([0], ends + 1))
    before_end = np.searchsorted(np.flatnonzero(parts), ends)
    fields = np.diff(before_end, prepend=0) + 1
    lengths = ends - starts[:-1] - (at[np.maximum(ends - 1, 0)] == _RETURN)
    return starts if (fields == width).all() and (lengths > 0).all() else None
