"""The folders of a run: how each is written, finished, found and refused.

A stage writes into ``<folder>.partial`` and ends by hashing every file, writing ``manifest.json``, syncing and renaming:
the presence of ``<folder>/manifest.json`` means finished, and a reader never sees half. A killed stage leaves its
``.partial`` folder; the next run goes on in it if the fingerprint (config, seed, input hashes, versions) is the same,
and starts it anew otherwise. What each folder holds is in ``docs/artefacts.md``; ``storage.py`` reads and writes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from polars.exceptions import PolarsError
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError

from sidrec import __version__
from sidrec.errors import ArtifactError
from sidrec.versions import versions

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
CHECKPOINTS = "checkpoints"
_MARKER = "fingerprint.txt"


@dataclass(frozen=True, slots=True)
class Stage:
    """One artefact folder: the command that makes it, and the folders it is made from."""

    command: str
    folder: str
    needs: tuple[str, ...] = ()


STAGES: dict[str, Stage] = {
    stage.command: stage
    for stage in (
        Stage("ingest", "1-corpus"),
        Stage("embed", "2-vectors", ("ingest",)),
        Stage("quantize", "3-codes", ("ingest", "embed")),
        Stage("converse", "4-conversations", ("ingest", "quantize")),
        Stage("train-vocabulary", "5-vocabulary", ("ingest", "quantize", "converse")),
        Stage("train-full", "6-model", ("quantize", "converse", "train-vocabulary")),
        Stage("recommend", "7-recommendations", ("ingest", "quantize", "train-full")),
        Stage("evaluate", "8-report", ("ingest", "embed", "quantize", "converse", "train-full")),
    )
}
"""The layout of a run, in order."""


class FileEntry(BaseModel):
    """Hash and size of one file of an artefact."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    bytes: int


class Manifest(BaseModel):
    """``manifest.json``: written last. Only ``seconds`` and ``peak_memory_mb`` differ between two runs of one seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int
    stage: str
    fingerprint: str
    seed: int
    config: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, FileEntry]
    versions: dict[str, str]
    seconds: float
    peak_memory_mb: float

    @property
    def content(self) -> str:
        """One hash of all file hashes: what the stages behind this one depend on."""
        return _digest({name: entry.sha256 for name, entry in self.files.items()})


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a stage is about to make: fingerprint and everything that goes into it."""

    stage: Stage
    seed: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        versions = {"format": FORMAT_VERSION, "version": __version__}
        made_of = {"stage": self.stage.command, "seed": self.seed, "config": self.config, "inputs": self.inputs}
        return _digest(versions | made_of)


def finished(run: Path, ticket: Ticket) -> bool:
    """Whether the artefact is there, whole, and made from the same inputs and config.

    Raises:
        ArtifactError: it is there and damaged.
    """
    _restore(run / ticket.stage.folder)
    if not (run / ticket.stage.folder / MANIFEST).exists():
        return False
    return verified_manifest(run, ticket.stage.command).fingerprint == ticket.fingerprint


def verified_manifest(run: Path, command: str) -> Manifest:
    """The manifest of a finished artefact, every file checked against its hash.

    Raises:
        ArtifactError: missing, half-written, damaged, or of another format.
    """
    folder = run / STAGES[command].folder
    _restore(folder)
    return verified(folder, f"make it again with `sidrec {command} --config FILE --run {run}`")


def verified(folder: Path, again: str) -> Manifest:
    """``verified_manifest`` of any folder that ``writing`` made; ``again`` is the advice that ends an error's sentence."""
    if not folder.is_dir():
        raise ArtifactError(f"the artefact {folder} is missing: {again}")
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{folder} has no {MANIFEST}, so it was never finished: {again}") from None
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the file"
        raise ArtifactError(f"{path} is damaged ({where}: {error.errors()[0]['msg']}): {again}") from None
    if manifest.format != FORMAT_VERSION:
        raise ArtifactError(f"{folder} has artefact format {manifest.format}, this sidrec reads {FORMAT_VERSION}: {again}")
    for name, entry in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{file} is missing: {again}")
        if file.stat().st_size != entry.bytes or hash_file(file) != entry.sha256:
            raise ArtifactError(f"{file} is damaged (its hash differs from {MANIFEST}): {again}")
    return manifest


@contextmanager
def writing(run: Path, ticket: Ticket) -> Iterator[Path]:
    """The working folder of a stage; on leaving without an error it becomes the finished artefact.

    Files that the folder held from a killed run of the same fingerprint are still there. Names that start with ``.``
    and the folder ``checkpoints`` are work, not result: they are removed at the end.

    Raises:
        ArtifactError: no space is left; the old artefact is untouched.
    """
    final = run / ticket.stage.folder
    partial = run / f"{ticket.stage.folder}.partial"
    began = time.perf_counter()
    try:
        if fingerprint_of(partial) != ticket.fingerprint:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            write_file(partial / _MARKER, ticket.fingerprint.encode())
        yield partial
        _finish(partial, final, ticket, time.perf_counter() - began)
    except (OSError, SafetensorError, PolarsError) as error:
        if not disk_full(error):
            raise
        kept = f"; the finished {final.name} is untouched" if final.exists() else ""
        raise ArtifactError(
            f"no space left on the disk of {run} while writing {partial.name}{kept}: free some space and run the command again"
        ) from error


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """One writer a run.

    Raises:
        ArtifactError: another process holds the run.
    """
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ArtifactError(f"another sidrec process works in {run}: wait for it, or choose another --run") from None
    try:
        yield
    finally:
        lock.release()


def fingerprint_of(partial: Path) -> str:
    """The fingerprint that a working folder was begun with, "" if it is none."""
    marker = partial / _MARKER
    return marker.read_text("utf-8") if marker.is_file() else ""


def disk_full(error: Exception) -> bool:
    """Whether an error of the system, of safetensors or of polars (which keep only its text) means: no space left."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(f"(os error {number})" in str(error) for number in full)


def write_file(path: Path, data: bytes) -> None:
    """Write to a temporary sibling, sync, rename."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """``write_file`` for a JSON value, keys in their own order."""
    write_file(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _finish(partial: Path, final: Path, ticket: Ticket, seconds: float) -> None:
    files: dict[str, FileEntry] = {}
    for path in sorted(p for p in partial.rglob("*") if p.is_file() and not _is_work(p.relative_to(partial))):
        _sync(path)
        files[path.relative_to(partial).as_posix()] = FileEntry(sha256=hash_file(path), bytes=path.stat().st_size)
    manifest = Manifest(
        format=FORMAT_VERSION,
        stage=ticket.stage.command,
        fingerprint=ticket.fingerprint,
        seed=ticket.seed,
        config=dict(ticket.config),
        inputs=dict(ticket.inputs),
        files=files,
        versions=versions(),
        seconds=round(seconds, 2),
        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )
    write_json(partial / MANIFEST, manifest.model_dump(mode="json"))
    # safetensors lets nobody but the owner read what it writes, whatever the umask says: then no other user could serve.
    readable = (partial / MANIFEST).stat().st_mode & 0o777
    for path in (partial / name for name in files):
        mode = path.stat().st_mode & 0o777
        if mode | readable != mode:
            path.chmod(mode | readable)
    _sync(partial)
    old = final.with_name(f"{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    _sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)
    # Work goes last: a kill before the rename must still find the checkpoints.
    for path in final.iterdir():
        if _is_work(path.relative_to(final)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_work(path: Path) -> bool:
    return path.parts[0].startswith(".") or path.parts[0] in (CHECKPOINTS, _MARKER)


def _restore(final: Path) -> None:
    """A kill between the two renames of ``_finish`` leaves only the old folder: take it back."""
    old = final.with_name(f"{final.name}.old")
    if old.exists() and not final.exists():
        old.rename(final)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
