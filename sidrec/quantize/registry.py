"""Who has which code, since when, and who is still on offer: the memory of a catalogue.

A code, once given, belongs to its item for good. The registry therefore only grows: its rows stand in the order in which
the codes were given, and an item that leaves the shop keeps its row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.errors import ArtifactError, DataError
from sidrec.quantize.checks import refuse_twice
from sidrec.types import ItemCodes

FILE = "registry.parquet"
_HEADER = "sidrec.registry"
_FORMAT = 1
_NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """``M`` items that ever had a code, in the order in which they got it; a catalogue of ``N`` of them has them as rows.

    ``rows`` int32 ``(M,)``: the item's row in the catalogue, -1 where the catalogue has it no longer. ``since`` int32
    ``(M,)``: the version of the catalogue in which it got its code. ``retired`` int32 ``(M,)``: the version since which it is
    not on offer, 0 where it is. ``absent`` bool ``(M,)``: retired for no other reason than that a rebuilt catalogue lacked
    it, so it comes back with the catalogue; one retired by hand does not. ``texts``: fingerprints of the items' text.
    ``residual``: the mean squared error of the last learned level at the fit, the unit in which a move is judged.
    """

    item_ids: tuple[str, ...]
    rows: NDArray[np.int32]
    codes: NDArray[np.int32]
    since: NDArray[np.int32]
    retired: NDArray[np.int32]
    absent: NDArray[np.bool_]
    texts: tuple[str, ...]
    sizes: tuple[int, ...]
    tie_level: bool
    residual: float
    version: int

    @classmethod
    def first(cls, item_ids: Sequence[str], codes: ItemCodes, texts: Sequence[str], residual: float) -> Registry:
        """Version 1: a catalogue whose codes have just been learned, row i for item i."""
        n = codes.n_items
        return cls(
            tuple(item_ids),
            np.arange(n, dtype=np.int32),
            codes.codes,
            np.ones(n, dtype=np.int32),
            np.zeros(n, dtype=np.int32),
            np.zeros(n, dtype=np.bool_),
            tuple(texts),
            codes.sizes,
            codes.tie_level,
            residual,
            version=1,
        )

    @property
    def n_rows(self) -> int:
        """``N``: items of the catalogue."""
        return int((self.rows >= 0).sum())

    def row_codes(self) -> ItemCodes:
        """The codes of the catalogue, row i for item i."""
        return ItemCodes(np.ascontiguousarray(self.codes[self._by_row()]), self.sizes, self.tie_level)

    def offered(self) -> NDArray[np.bool_]:
        """bool ``(N,)``: which items of the catalogue are on offer."""
        return np.asarray(self.retired[self._by_row()] == 0)

    def row_ids(self) -> list[str]:
        """The item ids of the catalogue, row i for item i."""
        return [self.item_ids[place] for place in self._by_row().tolist()]

    def places(self) -> dict[str, int]:
        """Row of the registry by item id."""
        return {item_id: place for place, item_id in enumerate(self.item_ids)}

    def unknown(self, item_ids: Sequence[str]) -> list[int]:
        """Which of these (as places in the list) never had a code, in the order in which they get theirs: by item id.

        Raises:
            DataError: an item id stands twice.
        """
        refuse_twice(item_ids)
        known = set(self.item_ids)
        return sorted((i for i, item_id in enumerate(item_ids) if item_id not in known), key=lambda i: item_ids[i])

    def with_catalogue(
        self, item_ids: Sequence[str], texts: Sequence[str], new: Sequence[int], codes: NDArray[np.int32]
    ) -> Registry:
        """The next version: a catalogue with these items, row i for item i.

        ``new`` is what ``unknown`` found and ``codes``, int32 ``(len(new), L)``, what they get. Known items keep their codes;
        those that the catalogue lacks are retired as absent, and absent ones that it has again are on offer again.

        Raises:
            DataError: an item id stands twice, or a code is another item's.
        """
        refuse_twice(item_ids)
        version = self.version + 1
        n_new = len(new)
        ids = (*self.item_ids, *(item_ids[i] for i in new))
        row_of = {item_id: row for row, item_id in enumerate(item_ids)}
        rows = np.asarray([row_of.get(item_id, _NOWHERE) for item_id in ids], dtype=np.int32)
        retired = np.append(self.retired, np.zeros(n_new, np.int32))
        absent = np.append(self.absent, np.zeros(n_new, np.bool_))
        there = rows >= 0
        retired[absent & there] = 0
        left = ~there & (retired == 0)
        retired[left] = version
        absent = (absent & ~there) | left
        known_texts = (*self.texts, *("" for _ in new))
        return replace(
            self,
            item_ids=ids,
            rows=rows,
            codes=self._with_codes(codes, [item_ids[i] for i in new]),
            since=np.append(self.since, np.full(n_new, version, np.int32)),
            retired=retired,
            absent=absent,
            texts=tuple(texts[row] if row >= 0 else old for row, old in zip(rows.tolist(), known_texts, strict=True)),
            version=version,
        )

    def retire(self, item_ids: Sequence[str]) -> Registry:
        """The next version, without these items on offer; they keep their rows and codes.

        Raises:
            DataError: no item has such an id.
        """
        version = self.version + 1
        chosen = self._chosen(item_ids)
        retired, absent = self.retired.copy(), self.absent.copy()
        retired[chosen & (retired == 0)] = version
        absent[chosen] = False
        return replace(self, retired=retired, absent=absent, version=version)

    def restore(self, item_ids: Sequence[str]) -> Registry:
        """The next version, with these items on offer again.

        Raises:
            DataError: no item has such an id, or the catalogue has it no longer.
        """
        chosen = self._chosen(item_ids)
        gone = np.flatnonzero(chosen & (self.rows < 0))
        if len(gone):
            raise DataError(
                f"the catalogue no longer has item {self.item_ids[gone[0]]!r}, so it cannot be offered "
                f"({len(gone)} such): add it with `sidrec codes add` first; it gets the code that it had"
            )
        retired, absent = self.retired.copy(), self.absent.copy()
        retired[chosen], absent[chosen] = 0, False
        return replace(self, retired=retired, absent=absent, version=self.version + 1)

    def save(self, path: Path) -> None:
        """``registry.parquet``: item_id, item_index, codes, since, retired, absent, text; null where there is none."""
        about = {
            "format": _FORMAT,
            "sizes": self.sizes,
            "tie_level": self.tie_level,
            "residual": self.residual,
            "version": self.version,
        }
        pl.DataFrame(
            {
                c.ITEM_ID: pl.Series(self.item_ids, dtype=pl.String),
                c.ITEM_INDEX: pl.Series(self.rows).replace(_NOWHERE, None),
                c.CODES: pl.Series(self.codes.tolist(), dtype=pl.List(pl.Int32)),
                c.SINCE: pl.Series(self.since),
                c.RETIRED: pl.Series(self.retired).replace(0, None),
                c.ABSENT: pl.Series(self.absent),
                c.TEXT: pl.Series(self.texts, dtype=pl.String),
            }
        ).write_parquet(path, metadata={_HEADER: json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> Registry:
        """See ``save``.

        Raises:
            ArtifactError: missing, damaged, or of another format.
        """
        try:
            about = json.loads(pl.read_parquet_metadata(path)[_HEADER])
            if about["format"] != _FORMAT:
                raise ArtifactError(
                    f"{path} is of format {about['format']}, this sidrec reads {_FORMAT}: it is of another version"
                )
            frame, sizes = pl.read_parquet(path), tuple(about["sizes"])
            codes = frame[c.CODES].list.to_array(len(sizes)).to_numpy()
            registry = cls(
                tuple(frame[c.ITEM_ID].to_list()),
                frame[c.ITEM_INDEX].fill_null(_NOWHERE).to_numpy(),
                np.ascontiguousarray(codes, dtype=np.int32).reshape(-1, len(sizes)),
                frame[c.SINCE].to_numpy(),
                frame[c.RETIRED].fill_null(0).to_numpy(),
                frame[c.ABSENT].to_numpy(),
                tuple(frame[c.TEXT].to_list()),
                sizes,
                bool(about["tie_level"]),
                float(about["residual"]),
                int(about["version"]),
            )
        except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(f"the registry {path} is missing or damaged ({error}): run `sidrec quantize` again") from None
        ItemCodes(registry.codes, registry.sizes, registry.tie_level)  # no two items ever had one code
        return registry

    def _by_row(self) -> NDArray[np.int64]:
        """int64 ``(N,)``: the place in the registry of each row of the catalogue."""
        there = np.flatnonzero(self.rows >= 0)
        return np.asarray(there[np.argsort(self.rows[there])])

    def _chosen(self, item_ids: Sequence[str]) -> NDArray[np.bool_]:
        places = self.places()
        missing = [item_id for item_id in item_ids if item_id not in places]
        if missing:
            more = f" ({len(missing) - 1} more are like it)" if len(missing) > 1 else ""
            raise DataError(f"no item {missing[0]!r} in the catalogue{more}; item ids look like {self.item_ids[0]!r}")
        chosen = np.zeros(len(self.item_ids), dtype=np.bool_)
        chosen[[places[item_id] for item_id in item_ids]] = True
        return chosen

    def _with_codes(self, codes: NDArray[np.int32], item_ids: Sequence[str]) -> NDArray[np.int32]:
        if self.tie_level and len(codes):
            given = {tuple(code) for code in self.codes[np.isin(self.codes[:, 0], codes[:, 0])].tolist()}
            for item_id, code in zip(item_ids, map(tuple, codes.tolist()), strict=True):
                if code in given:
                    raise DataError(f"item {item_id!r} would get the code {code} of another item; a code is never given twice")
                given.add(code)
        return np.concatenate((self.codes, codes.reshape(-1, len(self.sizes)))).astype(np.int32)


def text_fingerprints(items: pl.DataFrame) -> list[str]:
    """16 hexadecimal digits for the text of each item (``ITEM_SCHEMA`` frame; the price is no text).

    Cleaned texts hold no control characters, so these can stand between the fields.
    """
    lists = [pl.col(name).list.join("\x1e") for name in (c.FEATURES, c.CATEGORY)]
    joined = pl.concat_str([c.TITLE, c.DESCRIPTION, c.BRAND, *lists], separator="\x1f", ignore_nulls=False)
    texts = items.select(joined.alias(c.TEXT))[c.TEXT].to_list()
    return [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for text in texts]
