"""The live catalogue of a run: what the codes were learned for, and what has come and gone since.

``9-catalogue`` holds one folder a version, ``000002``, ``000003``..., each complete: ``items.parquet`` and
``codes.parquet`` (row i is item i; the corpus' own items first, in their order, so that old histories stay valid),
``registry.parquet``, ``vectors.safetensors`` (what the codebook was given for the rows behind the corpus' own) and a
manifest. Version 1 is ``1-corpus`` and ``3-codes``, which nothing here touches. A version is
written beside the others and renamed when it is complete, so a reader sees the old one or the new one, never half.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from sidrec import columns as c
from sidrec import storage
from sidrec.artifacts import MANIFEST, Manifest, Stage, Ticket, verified, verified_manifest, writing
from sidrec.errors import ArtifactError
from sidrec.pipeline import Run
from sidrec.quantize import Registry
from sidrec.types import ItemCodes

FOLDER = "9-catalogue"
_VECTORS = "vectors.safetensors"
_KEPT = 3  # versions that stay: who opened the one before can finish reading, and `sidrec codes diff` has two to compare
_PATIENCE = 5  # a reader that loses its version to many writers looks again so often


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """One version: ``items`` (``ITEM_SCHEMA``), row i is item i, and who has which code. ``folder`` holds its files."""

    items: pl.DataFrame
    registry: Registry
    folder: Path

    @property
    def codes(self) -> ItemCodes:
        """Of all rows, those that are not on offer too: old histories spell them."""
        return self.registry.row_codes()

    @property
    def version(self) -> int:
        return self.registry.version

    def later_vectors(self) -> NDArray[np.float32] | None:
        """Joined vectors, float32 ``(n, D')``, of the rows behind the corpus' own; ``None`` where there are no such rows."""
        path = self.folder / _VECTORS
        return load_file(path)["vectors"] if path.is_file() else None


def open_catalogue(run: Run) -> Catalogue:
    """The latest version.

    Raises:
        ArtifactError: a file is missing or damaged, the live catalogue grew from other codes than the run has now, or it
            changes too fast to be read.
    """
    for _ in range(_PATIENCE):
        folder = latest(run.path)
        if folder is None:
            break
        try:
            manifest = verified(folder, f"put it back, or remove {folder} to fall back on the version before it")
            _check_origin(run, manifest, folder)
            return Catalogue(pl.read_parquet(folder / "items.parquet"), Registry.load(folder / "registry.parquet"), folder)
        except (ArtifactError, OSError):
            if folder.exists() and latest(run.path) == folder:  # else a writer has just replaced it: look again
                raise
    else:
        raise ArtifactError(_busy(run))
    codes = run.checked("quantize")
    items = pl.read_parquet(run.checked("ingest") / "items.parquet")
    return Catalogue(items, Registry.load(codes / "registry.parquet"), codes)


def content(run: Run) -> str:
    """One hash of the live catalogue, or "" where there is none: what a stage that reads it depends on.

    Raises:
        ArtifactError: it changes too fast to be read.
    """
    for _ in range(_PATIENCE):
        folder = latest(run.path)
        if folder is None:
            return ""
        try:
            return Manifest.model_validate_json((folder / MANIFEST).read_bytes()).content
        except FileNotFoundError:  # a writer has just replaced it
            continue
    raise ArtifactError(_busy(run))


def latest(run: Path) -> Path | None:
    """The folder of the newest complete version."""
    found = versions(run)
    return found[-1] if found else None


def versions(run: Path) -> list[Path]:
    """The folders of all complete versions that are kept, oldest first."""
    parent = run / FOLDER
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.name.isdigit() and (path / MANIFEST).is_file())


def write_version(
    run: Run, items: pl.DataFrame, registry: Registry, later: NDArray[np.float32] | None, why: Mapping[str, Any]
) -> Catalogue:
    """A new version; the caller holds the run's lock. ``later``: see ``Catalogue``; ``why`` goes into the manifest.

    Raises:
        ArtifactError: no space is left; the version before is untouched.
    """
    before = versions(run.path)
    inputs = {need: verified_manifest(run.path, need).content for need in ("ingest", "embed", "quantize")}
    if before:
        inputs[FOLDER] = content(run)
    folder = f"{FOLDER}/{registry.version:06}"
    with writing(run.path, Ticket(Stage("codes", folder), run.config.seed, dict(why), inputs)) as partial:
        items.write_parquet(partial / "items.parquet")
        storage.save_codes(partial, registry.row_codes(), items[c.ITEM_ID].to_list())
        registry.save(partial / "registry.parquet")
        if later is not None:
            save_file({"vectors": np.ascontiguousarray(later)}, partial / _VECTORS)
    for old in before[: 1 - _KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return Catalogue(items, registry, run.path / folder)


def _busy(run: Run) -> str:
    return f"{run.path / FOLDER} was replaced {_PATIENCE} times while it was read: try again, and write to it less often"


def _check_origin(run: Run, manifest: Manifest, folder: Path) -> None:
    for need in ("ingest", "quantize"):
        if manifest.inputs.get(need) != verified_manifest(run.path, need).content:
            raise ArtifactError(
                f"the live catalogue {folder} grew from another {run.folder(need).name} than the one that is there now, so "
                f"its codes mean nothing to this run: make {run.folder(need).name} again with the config it had, or move "
                f"{folder.parent} away; to rebuild a grown catalogue without moving a code, use another --run and quantize.keep"
            )
