"""``sidrec codes drift`` and ``diff``: what they read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec import ingest, storage
from sidrec.catalogue import grow
from sidrec.catalogue.live import FOLDER, Catalogue, latest, open_catalogue
from sidrec.errors import ArtifactError, DataError
from sidrec.pipeline import CONFIG_FILE, Run
from sidrec.quantize import ENOUGH, Codebook, Drift, Registry, Sample, crowded_share, drift

_MOST = 20_000  # old items that are compared with, where cold ones are too few


def measure_drift(run: Run, path: Path | None, vectors: Mapping[str, Path] | None = None) -> Drift:
    """Do the items that came, or those of a file that may come, still fit the codebook? ``vectors``: as for ``grow.add``.

    Raises:
        ArtifactError: a stage is missing or damaged.
        DataError: nothing is new, the file cannot be used, or no item is left to compare with.
    """
    now = open_catalogue(run)
    registry = now.registry
    since = dict(zip(registry.item_ids, registry.since.tolist(), strict=True))
    of_row = np.asarray([since[item] for item in registry.row_ids()])
    codebook, encode = grow.frozen(run, path or Path(), vectors or {})
    if path is None:
        rows = np.flatnonzero(of_row > 1)
        if not len(rows):
            raise DataError(
                f"no item has come to {run.path} since its codes were learned, so there is nothing to compare: "
                "give --items FILE, or add items first"
            )
        new = Sample(_joined(run, now, codebook, rows), now.items[c.ITEM_ID][rows.tolist()].to_list())
        at = registry.places()
        groups, places = _learned(registry), np.asarray([at[item] for item in new.item_ids])
    else:
        file = ingest.read_additions(path, run.config.ingest, now.items).frame
        fresh = file.filter(~pl.col(c.ITEM_ID).is_in(list(registry.item_ids)))
        if not fresh.height:
            raise DataError(f"{path}: all {file.height} items are in the catalogue already, so none of them is new")
        new = Sample(encode(fresh)[0], fresh[c.ITEM_ID].to_list())
        groups = np.concatenate((_learned(registry), codebook.quantizer.encode(new.vectors)))  # as if none would move away
        places = np.arange(len(registry.codes), len(groups))
    crowded = crowded_share(groups, places, registry.sizes[-1]) if registry.tie_level else 0.0
    # A kept codebook was learned with another draw of cold items, perhaps: then none can be trusted to be unlearned.
    cold = np.flatnonzero((of_row == 1) & now.items[c.COLD].to_numpy())
    unlearned = len(cold) >= ENOUGH and not run.config.quantize.keep
    rows = cold if unlearned else np.flatnonzero(of_row == 1)
    if not len(rows):
        raise DataError(
            f"of the items that the codes of {run.path} were learned for, none is in the catalogue any more, so there is "
            "nothing to compare with: learn new codes"
        )
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).astype(np.int64)]
    first = registry.codes[registry.since == 1]
    counts = [np.bincount(first[:, level], minlength=size) for level, size in enumerate(codebook.quantizer.sizes)]
    old = Sample(_joined(run, now, codebook, rows), now.items[c.ITEM_ID][rows.tolist()].to_list(), not unlearned, counts)
    return drift(codebook.quantizer, old, new, crowded, run.config.quantize.drift_limit, run.config.seed)


def _learned(registry: Registry) -> NDArray[np.int32]:
    """int32 ``(M, levels)``: the learned codes of all items that ever had one."""
    return registry.codes[:, :-1] if registry.tie_level else registry.codes


def _joined(run: Run, now: Catalogue, codebook: Codebook, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Vectors of these rows of the catalogue as of items that nobody bought, float32 ``(n, D')``."""
    text = storage.load_vectors(run.checked("embed")).vectors
    given = storage.load_given(run.folder("embed"), run.config.embed.given)
    own = rows < len(text)
    ids = now.items[c.ITEM_ID][rows[own].tolist()].to_list()
    joined = codebook.join(text[rows[own]], {name: vectors[rows[own]] for name, vectors in given.items()}, ids)
    later = now.later_vectors()
    if later is None:
        return joined
    out = np.empty((len(rows), joined.shape[1]), dtype=np.float32)
    out[own], out[~own] = joined, later[rows[~own] - len(text)]
    return out


def read_registry(path: Path) -> Registry:
    """Of a run (the latest version of its catalogue), of a folder ``3-codes``, or of a version of a live catalogue.

    Raises:
        ArtifactError: there is none.
    """
    if (path / CONFIG_FILE).is_file():
        path = open_catalogue(Run.open(path)).folder
    elif path.name == FOLDER:
        path = latest(path.parent) or path
    if not (path / "registry.parquet").is_file():
        raise ArtifactError(f"{path} has no registry.parquet: give a run, its 3-codes, its {FOLDER} or a version in that")
    return Registry.load(path / "registry.parquet")
