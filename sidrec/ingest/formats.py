"""What a file is, told by its ending, and its bytes in blocks.

A review file of Amazon has gigabytes, so a text file is never held whole: it comes in blocks that end where a line
ends, and the reader of a format carries an unfinished record into the next block.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from sidrec.errors import DataError

Kind = Literal["delimited", "jsonl", "parquet"]
BLOCK_BYTES = 16 * 2**20  # measured: 8 to 32 MiB read equally fast; more only costs memory

_KINDS: dict[str, tuple[Kind, str]] = {
    ".csv": ("delimited", ","),
    ".tsv": ("delimited", "\t"),
    ".tab": ("delimited", "\t"),
    ".jsonl": ("jsonl", ""),
    ".ndjson": ("jsonl", ""),
    ".parquet": ("parquet", ""),
    ".pq": ("parquet", ""),
}
_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Format:
    """``separator`` is the field separator of a delimited file, "" otherwise."""

    kind: Kind
    gzipped: bool
    separator: str = ""


def format_of(path: Path) -> Format:
    """The format that a file's ending tells.

    >>> format_of(Path("log.csv.gz"))
    Format(kind='delimited', gzipped=True, separator=',')

    Raises:
        DataError: the ending is not known.
    """
    suffixes = [s.lower() for s in path.suffixes]
    gzipped = bool(suffixes) and suffixes[-1] == ".gz"
    ending = (suffixes[:-1] if gzipped else suffixes)[-1:]
    if not ending or ending[0] not in _KINDS:
        hint = "; a .json file must hold one object a line and be called .jsonl" if ending == [".json"] else ""
        raise DataError(
            f"cannot tell the format of {path}: expected an ending out of {', '.join(_KINDS)}, "
            f"each also with .gz behind it{hint}"
        )
    kind, separator = _KINDS[ending[0]]
    return Format(kind, gzipped, separator)


def require_file(path: Path, key: str) -> Path:
    """The path again, if it is a file.

    Raises:
        DataError: there is none; ``key`` is the config key that names it.
    """
    if path.is_file():
        return path
    what = "is a folder" if path.is_dir() else "does not exist"
    near = ""
    if path.parent.is_dir():
        names = sorted(p.name for p in path.parent.iterdir() if p.is_file())
        near = f"; {path.parent} holds {', '.join(names[:8]) or 'no files'}{', ...' if len(names) > 8 else ''}"
    elif not path.is_dir():
        near = f"; the folder {path.parent} does not exist either"
    raise DataError(f"the file {path} {what}{near}; check {key} in the config")


def blocks(path: Path, gzipped: bool, advance: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """The file's bytes, unpacked, in blocks that end behind a newline (the last one: at the end of the file).

    A byte order mark is taken away. ``advance`` is told of the bytes of the file itself as they are used.

    Raises:
        DataError: the file is no text in UTF-8, or a damaged gzip file.
    """
    with path.open("rb") as raw:
        stream: BinaryIO = gzip.open(raw) if gzipped else raw  # type: ignore[assignment]  # noqa: SIM115
        carry, first, used = b"", True, 0
        while True:
            chunk = _read(stream, path)
            if advance is not None:
                advance(raw.tell() - used)
                used = raw.tell()
            if first:
                _check_start(chunk, path)
                chunk, first = chunk.removeprefix(_BOM), False
            if not chunk:
                break
            end = chunk.rfind(b"\n") + 1
            if end:
                yield carry + chunk[:end]
                carry = chunk[end:]
            else:
                carry += chunk
        if carry:
            yield carry


def _read(stream: BinaryIO, path: Path) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, error) from None


def _check_start(chunk: bytes, path: Path) -> None:
    if chunk.startswith(_OTHER_BOMS):
        raise DataError(f"{path} is written in UTF-16; save it as UTF-8")
    if chunk.startswith(b"\x1f\x8b"):
        raise DataError(f"{path} is gzipped, but its name does not end in .gz; rename it")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a whole gzip file ({error}); fetch or pack it again")


def whole(path: Path, gzipped: bool) -> Path | io.BytesIO:
    """What a Parquet reader wants: the path, or the unpacked bytes of a gzipped file.

    Raises:
        DataError: a damaged gzip file.
    """
    if not gzipped:
        return path
    try:
        with gzip.open(path) as stream:
            return io.BytesIO(stream.read())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(path, error) from None
