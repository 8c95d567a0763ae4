"""Items come and go, and no code moves: what ``sidrec codes add``, ``retire`` and ``restore`` do to the live catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec import embed, ingest
from sidrec.artifacts import locked
from sidrec.catalogue.live import Catalogue, open_catalogue, write_version
from sidrec.errors import DataError
from sidrec.log import warn
from sidrec.pipeline import Run
from sidrec.quantize import Codebook, Registry, text_fingerprints

OnChange = Literal["refuse", "update"]


@dataclass(frozen=True, slots=True)
class Changed:
    """An item that got another text: how many of its leading learned codes the codebook would give the new text too."""

    item_id: str
    levels_kept: int
    levels: int

    @property
    def drifted(self) -> bool:
        """A level above the last learned one would be another now: the code tells of the old text."""
        return self.levels_kept < max(1, self.levels - 1)


@dataclass(frozen=True, slots=True)
class Added:
    """What ``add`` did. ``items``: id and codes of those that are ``new`` or ``back``.

    Of the new ones, ``moved`` took another code of the last learned level than their nearest, ``tied`` have the learned codes
    of another item; ``without`` says how many have no vector of a name. ``retired`` are items of the file that stay off the
    shelf, ``dropped`` counts its rows that could not be used, by reason.
    """

    version: int
    items: tuple[tuple[str, tuple[int, ...]], ...] = ()
    new: int = 0
    back: int = 0
    unchanged: int = 0
    changed: tuple[Changed, ...] = ()
    moved: int = 0
    tied: int = 0
    retired: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    without: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "version": self.version,
            "items": [{"item_id": item_id, "codes": list(codes)} for item_id, codes in self.items],
            "new": self.new,
            "back": self.back,
            "unchanged": self.unchanged,
            "changed": [
                {"item_id": one.item_id, "levels_kept": one.levels_kept, "drifted": one.drifted} for one in self.changed
            ],
            "moved": self.moved,
            "tied": self.tied,
            "retired": list(self.retired),
            "dropped": dict(self.dropped),
            "without_vector": dict(self.without),
        }

    def lines(self) -> Iterator[tuple[str, str]]:
        """For a person: each line and its style."""
        if not self.items and not self.changed:
            yield "nothing new in the file: nothing was written", ""
        else:
            yield f"version {self.version}: {self.new:,} new items, {self.back:,} back, {len(self.changed):,} changed", "bold"
        if self.unchanged:
            yield f"{self.unchanged:,} items of the file were there already, unchanged", "dim"
        if self.moved or self.tied:
            yield (
                f"{self.moved:,} moved to a near code of the last level, {self.tied:,} share all learned codes",
                "dim",
            )
        for name, count in self.without.items():
            if count:
                yield f"{count:,} new items have no vector {name!r}: the mean of the catalogue stands for it", "yellow"
        drifted = [one for one in self.changed if one.drifted]
        if drifted:
            yield (
                (
                    f"the code of {len(drifted):,} changed items no longer matches their text ({drifted[0].item_id} first: "
                    f"{drifted[0].levels_kept} of {drifted[0].levels} levels): they keep it until the codes are fitted again"
                ),
                "yellow",
            )
        if self.retired:
            yield (
                (
                    f"{len(self.retired):,} items of the file are retired and stay so ({self.retired[0]} first); "
                    "`sidrec codes restore` offers them again"
                ),
                "yellow",
            )
        for reason, count in self.dropped.items():
            yield f"left out: {reason}, {count:,} rows", "yellow"


def add(run: Run, path: Path, on_change: OnChange = "refuse", vectors: Mapping[str, Path] | None = None) -> Added:
    """Take the items of a file into the live catalogue, a new version of it; where the file brings nothing new, none is made.

    New items get codes from the frozen codebook, and items that were there before get theirs back. ``vectors``: by name of
    ``embed.given``, the file that has those of the new items.

    Raises:
        ArtifactError: another process holds the run, or a stage is missing or damaged.
        DataError: the file cannot be used, a known item has other text (``on_change = "refuse"``), or an item finds no code.
    """
    with locked(run.path):
        now = open_catalogue(run)
        read = ingest.read_additions(path, run.config.ingest, now.items)
        file, registry = read.frame, now.registry
        row_of = {item_id: row for row, item_id in enumerate(registry.row_ids())}
        rows = np.asarray([row_of.get(item_id, -1) for item_id in file[c.ITEM_ID].to_list()], dtype=np.int64)
        here, entering = file.filter(rows >= 0), file.filter(rows < 0)
        rows = rows[rows >= 0]
        differ = _differing(now.items[rows.tolist()], here)
        old, new, rows = now.items[rows.tolist()].filter(differ), here.filter(differ), rows[differ]
        if new.height and on_change == "refuse":
            raise DataError(_refusal(old, new, path))
        done = Added(
            registry.version,
            unchanged=here.height - new.height,
            retired=_retired(registry, file[c.ITEM_ID].to_list()),
            dropped=dict(read.dropped.group_by(c.REASON).len().sort(c.REASON).iter_rows()),
        )
        if not entering.height and not new.height:
            return done
        codebook, encode = frozen(run, path, vectors or {})
        items = pl.concat([_updated(now.items, rows, new), entering])
        ids = items[c.ITEM_ID].to_list()
        places = registry.unknown(ids)
        joined, without = encode(entering)
        behind = [place - now.items.height for place in places]
        learned, codes = codebook.place(registry, joined[behind], [ids[i] for i in places], run.config.quantize)
        grown = registry.with_catalogue(ids, text_fingerprints(items), places, codes)
        told = encode(new)[0]
        changed = _changed(codebook, encode, old, told)
        later = _later(now, joined, rows, told)
        why = {"action": "add", "file": path.name, "new": len(places), "changed": len(changed)}
        write_version(run, items, grown, later, why)
        at = grown.places()
        return replace(
            done,
            version=grown.version,
            items=tuple((item, tuple(grown.codes[at[item]].tolist())) for item in entering[c.ITEM_ID].to_list()),
            new=len(places),
            back=entering.height - len(places),
            changed=changed,
            moved=int((codes[:, : learned.shape[1]] != learned).any(axis=1).sum()),
            tied=int((codes[:, -1] > 0).sum()) if registry.tie_level else 0,
            retired=_retired(grown, file[c.ITEM_ID].to_list()),
            without=without,
        )


def retire(run: Run, item_ids: Sequence[str]) -> Catalogue:
    """Take items off the shelf: never recommended again, their codes and rows kept for histories.

    Raises:
        ArtifactError: another process holds the run, or a stage is missing or damaged.
        DataError: an id is unknown.
    """
    return _step(run, "retire", item_ids, lambda registry: registry.retire(item_ids))


def restore(run: Run, item_ids: Sequence[str]) -> Catalogue:
    """The way back from ``retire``; raises the same."""
    return _step(run, "restore", item_ids, lambda registry: registry.restore(item_ids))


def _step(run: Run, action: str, item_ids: Sequence[str], change: Callable[[Registry], Registry]) -> Catalogue:
    if not item_ids:
        raise DataError(f"no item ids to {action}: give --ids ID,ID or a file with one id a line")
    with locked(run.path):
        now = open_catalogue(run)
        after = change(now.registry)
        if np.array_equal(after.retired > 0, now.registry.retired > 0) and np.array_equal(after.absent, now.registry.absent):
            warn(f"all {len(item_ids)} items are as `sidrec codes {action}` would leave them: nothing was written")
            return now
        return write_version(run, now.items, after, now.later_vectors(), {"action": action, "items": len(item_ids)})


Encode = Callable[[pl.DataFrame], tuple[NDArray[np.float32], dict[str, int]]]


def frozen(run: Run, path: Path, vectors: Mapping[str, Path]) -> tuple[Codebook, Encode]:
    """The run's codebook, and what turns items (``ITEM_SCHEMA``) into joined vectors for it.

    ``Encode`` also tells of how many items the shop gave no vector, by name.
    """
    codebook = Codebook.load(run.checked("quantize"))
    encoder = embed.load_encoder(run.checked("embed"), run.config.embed)
    wanted = [one for one in run.config.embed.given if one.name in codebook.fusion.names]
    if unknown := sorted(set(vectors) - {one.name for one in wanted}):
        known = ", ".join(codebook.fusion.names) or "none"
        raise DataError(f"--vectors {unknown[0]}=...: the codes of this run were learned with given vectors: {known}")

    def encode(items: pl.DataFrame) -> tuple[NDArray[np.float32], dict[str, int]]:
        ids = items[c.ITEM_ID].to_list()
        given: dict[str, NDArray[np.float32]] = {}
        for one in wanted:
            file = vectors.get(one.name, Path(one.file) if one.file else path)
            if one.name in vectors or file.is_file():
                given[one.name] = ingest.read_given(one, file, run.config.ingest, ids)
        have = {name: int(rows.any(axis=1).sum()) for name, rows in given.items()}
        without = {one.name: len(ids) - have.get(one.name, 0) for one in wanted}
        return codebook.join(embed.encode_items(items, encoder, run.config.embed), given, ids), without

    return codebook, encode


def _differing(old: pl.DataFrame, new: pl.DataFrame) -> NDArray[np.bool_]:
    """bool ``(n,)``: rows that differ in anything but ``cold``: text, price or an attribute."""
    columns = [name for name in old.columns if name not in (c.ITEM_ID, c.COLD)]
    differ = np.zeros(old.height, dtype=np.bool_)
    for name in columns:
        differ |= ~old[name].eq_missing(new[name]).to_numpy()
    return differ


def _refusal(old: pl.DataFrame, new: pl.DataFrame, path: Path) -> str:
    was, now = old.row(0, named=True), new.row(0, named=True)
    name = next(name for name in old.columns if name not in (c.ITEM_ID, c.COLD) and was[name] != now[name])
    more = f" ({old.height - 1} more items differ)" if old.height > 1 else ""
    return (
        f"{path}: item {was[c.ITEM_ID]!r} is in the catalogue with another {name}: {_shown(was[name])} there, "
        f"{_shown(now[name])} in the file{more}. With --on-change update the file's is taken and the code kept; "
        "or leave such items out of the file"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _updated(items: pl.DataFrame, rows: NDArray[np.int64], new: pl.DataFrame) -> pl.DataFrame:
    """``items`` with ``new`` in the place of ``rows``; whether an item is cold stays."""
    source = np.arange(items.height)
    source[rows] = items.height + np.arange(len(rows))
    return pl.concat([items, new])[source.tolist()].with_columns(items[c.COLD])


def _changed(codebook: Codebook, encode: Encode, old: pl.DataFrame, told: NDArray[np.float32]) -> tuple[Changed, ...]:
    """``told``: joined vectors of the new texts. Both are taken as of items that nobody bought, so only the text differs."""
    before, after = codebook.quantizer.encode(encode(old)[0]), codebook.quantizer.encode(told)
    kept = np.cumprod(before == after, axis=1).sum(axis=1)
    return tuple(
        Changed(item, levels, before.shape[1]) for item, levels in zip(old[c.ITEM_ID].to_list(), kept.tolist(), strict=True)
    )


def _later(
    now: Catalogue, joined: NDArray[np.float32], rows: NDArray[np.int64], told: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The vectors behind the corpus' own: those that were there, ``told`` in the place of ``rows``, and ``joined``."""
    before = now.later_vectors()
    kept = joined[:0] if before is None else before
    own = now.items.height - len(kept)
    kept = kept.copy()
    kept[rows[rows >= own] - own] = told[rows >= own]
    return np.concatenate((kept, joined))


def _retired(registry: Registry, ids: Sequence[str]) -> tuple[str, ...]:
    """Which of these are retired by hand: being in a file does not bring them back."""
    at = registry.places()
    return tuple(item for item in ids if item in at and registry.retired[at[item]])
