"""A long result in parts: each written whole or not at all, told apart from damage, and made again alone.

A part is ``part-00000.parquet`` and, beside it while the work goes on, ``.part-00000.json`` (``Part``): its hash and its
counts, written after it. A part without its note, or with another hash, counts as not there. When all are done ``parts.json``
takes the place of the notes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sidrec.artifacts import MANIFEST, Manifest, fingerprint_of, hash_file, write_file, write_json
from sidrec.log import warn

PARTS = "parts.json"


class Part(BaseModel):
    """One finished part: how many users it holds and rows they got; ``short``: users with fewer than asked for, since fewer
    were eligible; ``new``: users without any purchase; ``exact``: answers with the certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    users: int
    rows: int
    short: int
    new: int
    exact: int


_ALL = TypeAdapter(dict[str, Part])


def part_name(number: int) -> str:
    """
    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{number:05}.parquet"


def save_part(folder: Path, number: int, data: bytes, users: int, rows: int, short: int, new: int, exact: int) -> None:
    """Write a part and then its note, both synced and renamed."""
    part = Part(sha256=hashlib.sha256(data).hexdigest(), users=users, rows=rows, short=short, new=new, exact=exact)
    write_file(folder / part_name(number), data)
    write_file(_note(folder, number), part.model_dump_json().encode())


def read_part(folder: Path, number: int) -> Part:
    """The note of a part that has just been written, perhaps by another process."""
    return Part.model_validate_json(_note(folder, number).read_bytes())


def whole_parts(folder: Path, count: int) -> dict[int, Part]:
    """The parts out of ``count`` that are there and whole; a damaged one is named and taken away."""
    found: dict[int, Part] = {}
    for number in range(count):
        path, note = folder / part_name(number), _note(folder, number)
        if not (path.is_file() and note.is_file()):
            continue
        try:
            part = Part.model_validate_json(note.read_bytes())
        except ValidationError:
            part = None
        if part is not None and hash_file(path) == part.sha256:
            found[number] = part
            continue
        warn(f"{path} is damaged (its hash differs from the one noted when it was written); it is made again")
        path.unlink()
        note.unlink()
    return found


def take_over(finished: Path, folder: Path, count: int) -> None:
    """Bring the whole parts of a finished, damaged result into ``folder``, where the same is to be made again.

    Nothing is taken from a result of another fingerprint.
    """
    try:
        same = Manifest.model_validate_json((finished / MANIFEST).read_bytes()).fingerprint == fingerprint_of(folder)
        entries = _ALL.validate_json((finished / PARTS).read_bytes()) if same else {}
    except (OSError, ValidationError):
        return
    for number in range(count):
        name = part_name(number)
        old, new = finished / name, folder / name
        if name not in entries or new.exists():
            continue
        if not old.is_file() or hash_file(old) != entries[name].sha256:
            warn(f"{old} is missing or damaged; it alone is made again")
            continue
        write_file(new, old.read_bytes())
        write_file(_note(folder, number), entries[name].model_dump_json().encode())


def close_parts(folder: Path, parts: dict[int, Part]) -> None:
    """``parts.json``: every part with its hash and counts, in order."""
    write_json(folder / PARTS, {part_name(number): parts[number].model_dump() for number in sorted(parts)})


def _note(folder: Path, number: int) -> Path:
    return folder / f".part-{number:05}.json"
