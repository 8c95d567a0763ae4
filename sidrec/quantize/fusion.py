"""Several vectors of an item in one: its text, vectors that the shop gave (of images, say), and how it is bought.

Measured on Beauty (MiniLM titles, 3 x 256, three seeds), co-purchase beside text. Share of (last training, validation)
purchases with one A code, with one AB; recall@10 of "the commonest items with the longest code in common with the last
purchase" (4,000 validation users, one seed); share of items whose nearest text neighbour has their A code; distinct codes:

    weight 0      .073   .013   .023   .63   .913
    weight 0.5    .106   .019   .032   .67   .912
    weight 0.75   .162   .025   .038   .63   .923
    weight 1      .175   .030   .045   .54   .923
    weight 1.5    .178   .041   .042   .39   .911
    weight 2      .180   .049   .043   .35   .900

At 1 the codes foretell about twice as much and still follow the text; above, they forget it. Chance is .005 to .007 (A).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sidrec.config import QuantizeConfig
from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.quantize.behaviour import behaviour_vectors
from sidrec.quantize.neighbours import Cells, find_cells, nearest_neighbours

FILE = "fusion.safetensors"
_HEADER = "sidrec.fusion"
_VERSION = 1
# Measured on Beauty, weight 1, two seeds: share of (last training, validation) purchases with one A code, with one AB, and
# distinct codes before ties. Trust 0 believes every bought item's own vector: .161, .025, .945; 1: .174, .027, .942;
# 3: .180, .031, .922; 5: .177, .033, .896; 10: .173, .031, .840. With a fifth of the items hidden, one of the pair hidden:
# zero vectors .009, ridge regression from text .055, the mean of 5 neighbours .119, with trust 3 .126 (text alone .076).
_NEIGHBOURS = 5
_TRUST = 3.0  # purchases that weigh as much as what the neighbours say

Given = Mapping[str, NDArray[np.float32]]
"""By name, float32 ``(N, E)`` unit rows; a zero row: the shop gave none for this item."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the vectors beside the text: its ``weight``, and ``mean``, float32 ``(E,)``, for an item that has none."""

    name: str
    weight: float
    mean: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Bought:
    """The ``M`` items whose co-purchase is known: ``text`` float16 ``(M, D)``, ``vectors`` float32 ``(M, F)``, unit rows.

    ``cells``: see ``find_cells``. They are kept: to find them again costs 5 s at 100,000 items.
    """

    weight: float
    text: NDArray[np.float16]
    vectors: NDArray[np.float32]
    cells: Cells

    @classmethod
    def of(cls, weight: float, text: NDArray[np.float32], vectors: NDArray[np.float32], seed: int) -> Bought:
        """In 16 bits from the start, so that what is compared now is what will be compared later."""
        small = text.astype(np.float16)
        return cls(weight, small, vectors, find_cells(small.astype(np.float32), seed))


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """How vectors are joined, frozen with the codebook: an item that comes months later is joined in the same way.

    A joined vector is the text vector times ``text_weight``, then each of ``sides`` and the co-purchase vector times their
    weights; what has no weight is left out. An item for which the shop gave no vector gets the mean of the others', which is
    the best guess that needs to know nothing. An item that was never bought gets the co-purchase of its 5 nearest neighbours
    in text; for that their text vectors are kept here (in 16 bits, which is how they were compared from the start).
    """

    text_width: int
    text_weight: float
    sides: tuple[Side, ...]
    bought: Bought | None
    seed: int

    @classmethod
    def fit(
        cls,
        text: NDArray[np.float32],
        given: Given,
        cold: NDArray[np.bool_],
        histories: Sequence[NDArray[np.int32]],
        config: QuantizeConfig,
        seed: int,
    ) -> tuple[Fusion, NDArray[np.float32]]:
        """The fusion of a catalogue, and its joined vectors, float32 ``(N, D')``.

        ``histories`` hold training purchases without cold items, which have no say in the means either. An item bought ``n``
        times keeps ``n / (n + 3)`` of its own co-purchase vector; the rest is its neighbours'. With a weight for text alone,
        and that 1, the result is ``text`` itself, not a copy.

        Raises:
            ConfigError: nothing has a weight, or a weight names vectors that are not given.
            DataError: no item but cold ones has a vector of some name.
        """
        weights = {name: config.given_weights.get(name, 1.0) for name in given}
        if unknown := sorted(set(config.given_weights) - set(given)):
            known = ", ".join(given) or "none"
            raise ConfigError(f"quantize.given_weights names {unknown[0]!r}, embed.given has: {known}")
        if not any((config.text_weight, config.behaviour_weight, *weights.values())):
            raise ConfigError("all weights are 0, so there is nothing to learn codes from: raise quantize.text_weight")
        sides = tuple(_side(name, weights[name], given[name], cold) for name in sorted(given) if weights[name] > 0)
        if not config.behaviour_weight:
            fusion = cls(text.shape[1], config.text_weight, sides, None, seed)
            return fusion, fusion.apply(text, given)
        behaviour = behaviour_vectors(histories, len(text), config.behaviour_dimension, seed)
        known_M = np.flatnonzero(behaviour.any(axis=1))
        bought = Bought.of(config.behaviour_weight, text[known_M], behaviour[known_M], seed)
        fusion = cls(text.shape[1], config.text_weight, sides, bought, seed)
        own = np.full(len(text), -1, dtype=np.int64)
        own[known_M] = np.arange(len(known_M))
        purchases = np.bincount(np.concatenate([np.empty(0, np.int32), *histories]), minlength=len(text))
        return fusion, fusion._join(text, given, own, purchases)

    @property
    def names(self) -> tuple[str, ...]:
        """The given vectors that have a weight."""
        return tuple(side.name for side in self.sides)

    def apply(self, text: NDArray[np.float32], given: Given) -> NDArray[np.float32]:
        """Joined vectors, float32 ``(N, D')``, of items that nobody bought yet.

        Raises:
            DataError: vectors of another width than at the fit.
        """
        return self._join(text, given, np.full(len(text), -1, dtype=np.int64), np.zeros(len(text), dtype=np.int64))

    def save(self, path: Path) -> None:
        """One safetensors file; what is no tensor is in its metadata, under one key, as JSON."""
        sides = [{"name": side.name, "weight": side.weight} for side in self.sides]
        header = {
            "version": _VERSION,
            "text_width": self.text_width,
            "text_weight": self.text_weight,
            "sides": sides,
            "bought": self.bought and self.bought.weight,
            "seed": self.seed,
        }
        tensors: dict[str, NDArray[Any]] = {f"sides.{i}.mean": side.mean for i, side in enumerate(self.sides)}
        if self.bought:
            centres, cell_of = self.bought.cells
            tensors |= {"bought.text": self.bought.text, "bought.vectors": self.bought.vectors}
            tensors |= {"bought.centres": centres, "bought.cell_of": cell_of}
        save_file(tensors, path, {_HEADER: json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> Fusion:
        """See ``save``; the loaded fusion gives the same bytes.

        Raises:
            ArtifactError: missing, damaged, or of another version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                found: dict[str, Any] = json.loads((file.metadata() or {})[_HEADER])
                if found["version"] != _VERSION:
                    raise ArtifactError(
                        f"{path} is of version {found['version']}, this sidrec reads {_VERSION}: run `sidrec quantize` again, "
                        "or install the sidrec that wrote it"
                    )
                sides = tuple(
                    Side(side["name"], side["weight"], file.get_tensor(f"sides.{i}.mean"))
                    for i, side in enumerate(found["sides"])
                )
                bought = None
                if found["bought"] is not None:
                    cells = file.get_tensor("bought.centres"), file.get_tensor("bought.cell_of")
                    bought = Bought(
                        found["bought"], file.get_tensor("bought.text"), file.get_tensor("bought.vectors"), cells
                    )  # fmt: skip
                return cls(int(found["text_width"]), float(found["text_weight"]), sides, bought, int(found["seed"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the fusion {path} is missing or damaged ({error}): run `sidrec quantize` again") from None

    def _join(
        self, text: NDArray[np.float32], given: Given, own: NDArray[np.int64], purchases: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        _check_width("the text", text, self.text_width)
        parts = [text if self.text_weight == 1 else np.float32(self.text_weight) * text] if self.text_weight else []
        for side in self.sides:
            rows = given.get(side.name)
            if rows is None:
                rows = np.zeros((len(text), len(side.mean)), dtype=np.float32)
            _check_width(repr(side.name), rows, len(side.mean))
            parts.append(np.float32(side.weight) * np.where(rows.any(axis=1, keepdims=True), rows, side.mean))
        if self.bought:
            parts.append(np.float32(self.bought.weight) * self._co_purchase(self.bought, text, own, purchases))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _co_purchase(
        self, bought: Bought, text: NDArray[np.float32], own: NDArray[np.int64], purchases: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        base = bought.text.astype(np.float32)
        around_NK = nearest_neighbours(text, base, own, _NEIGHBOURS, self.seed, bought.cells)
        expected = np.zeros((len(text), bought.vectors.shape[1]), dtype=np.float32)
        for column in around_NK.T:
            there = column >= 0
            expected[there] += bought.vectors[column[there]]
        share = np.where(own >= 0, purchases / (purchases + _TRUST), 0.0).astype(np.float32)[:, None]
        mine = np.zeros_like(expected)
        mine[own >= 0] = bought.vectors[own[own >= 0]]
        return _unit(share * mine + (1 - share) * _unit(expected))


def _side(name: str, weight: float, rows: NDArray[np.float32], cold: NDArray[np.bool_]) -> Side:
    known = rows.any(axis=1) & ~cold
    if not known.any():
        raise DataError(
            f"no item that may be learned from has a vector {name!r}: check embed.given, or set "
            f"quantize.given_weights.{name} = 0"
        )
    return Side(name, weight, rows[known].mean(axis=0, dtype=np.float64).astype(np.float32))


def _check_width(what: str, vectors: NDArray[np.float32], width: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise DataError(
            f"the codebook was learned with vectors of width {width} for {what}, found shape {vectors.shape}: "
            "they are of another encoder; encode with the one that the run has, or run `sidrec quantize` again"
        )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float32)
