"""Residual k-means: each level clusters what the levels before it left over.

Source: residual vector quantization (Chen et al. 2010), as used for semantic IDs by OpenOneRec.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sidrec.config import QuantizeConfig
from sidrec.errors import ArtifactError, DataError
from sidrec.quantize.balance import balanced
from sidrec.quantize.kmeans import blocks, half_norms, kmeans, nearest
from sidrec.quantize.lesson import Lesson
from sidrec.quantize.refine import refine
from sidrec.quantize.residual import Residual

HEADER = "sidrec.quantizer"


@dataclass(frozen=True, eq=False)
class ResidualKMeans:
    """A frozen codebook: ``mean`` float32 ``(D,)`` and, a level, ``centres[l]`` float32 ``(K_l, D)``.

    ``prices[l]``, float32 ``(K_l,)`` or None, are added to squared distances when encoding (see ``balance``); without any,
    the nearest centre is taken.
    """

    mean: NDArray[np.float32]
    centres: tuple[NDArray[np.float32], ...]
    prices: tuple[NDArray[np.float32] | None, ...] = ()

    METHOD: ClassVar[str] = "residual-kmeans"
    VERSION: ClassVar[int] = 1
    VERSION_WITH_PRICES: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not self.prices:
            object.__setattr__(self, "prices", (None,) * len(self.centres))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each learned level."""
        return tuple(len(level) for level in self.centres)

    @property
    def width(self) -> int:
        """``D``, the width of the vectors that it takes."""
        return len(self.mean)

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float32],
        sizes: Sequence[int],
        seed: int,
        iterations: int,
        tolerance: float,
        rows: NDArray[np.int64] | None = None,
        balance: float = 0.0,
    ) -> ResidualKMeans:
        """Learn ``len(sizes)`` levels from float32 ``(N, D)``; the same input and seed give the same bytes.

        ``iterations`` and ``tolerance`` bound the Lloyd steps of each level (see ``kmeans``); ``refine`` then fits the levels
        together. ``rows``, int64 rising, are learned from, where it is not all. With ``balance`` above 0 no code takes more
        than about so many times its even share of the rows. Memory beside the input: at most 400 MB and about 60 bytes a row.

        Raises:
            DataError: a value is not finite, all vectors are equal, or a level has more codes than there are vectors.
        """
        check_finite(vectors, rows)
        left = Residual(vectors, np.zeros(vectors.shape[1], np.float32), rows)
        for level, size in enumerate(sizes):
            if size > len(left):
                raise DataError(
                    f"{len(left)} items cannot fill the {size} codes of level {ascii_uppercase[level]}: "
                    f"set quantize.levels to sizes of at most {len(left)}, e.g. {fitting_sizes(len(left), sizes)}"
                )
        parts = list(blocks(len(left), left.shape[1]))
        mean = (sum(left[part].sum(axis=0, dtype=np.float64) for part in parts) / len(left)).astype(np.float32)
        left = Residual(vectors, mean, rows)
        if not max(float(np.abs(left[part]).max()) for part in parts) > 1e-6 * max(float(np.abs(mean).max()), 1e-30):
            raise DataError(
                f"all {len(left)} vectors equal that of row 0, so no code can tell the items apart: "
                "check the items' text, embed.fields and embed.encoder"
            )
        deeper, prices = left, list[NDArray[np.float32] | None]()
        for level, size in enumerate(sizes):
            rng = np.random.default_rng([seed, level, *b"quantize.residual-kmeans"])
            found, price = kmeans(deeper, size, iterations, tolerance, rng), None
            if balance > 0:
                found, price = balanced(deeper, found, balance)
            prices.append(price)
            deeper = deeper.behind(found, nearest(deeper, found, price)[0])
        return cls(mean, *refine(left, deeper.centres, prices, balance))

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.int32]:
        """Learned codes int32 ``(N, levels)`` of float32 ``(N, D)``: the nearest centre of each level in turn (prices added).

        Raises:
            DataError: another width than the codebook's, or a value that is not finite.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise DataError(
                f"the codebook takes vectors of width {self.width}, found shape {vectors.shape}: "
                "they are of another encoder; run `sidrec embed` and `sidrec quantize` again"
            )
        check_finite(vectors)
        codes = np.empty((len(vectors), len(self.centres)), dtype=np.int32)
        for part in blocks(len(vectors), max(self.sizes)):
            residual = vectors[part] - self.mean
            for level, centres in enumerate(self.centres):
                codes[part, level], _ = nearest(residual, centres, self.prices[level])
                residual -= centres[codes[part, level]]
        return codes

    def decode(self, codes: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 ``(N, D)``: mean and centres added up. Fewer columns than levels decode a prefix."""
        vectors = np.repeat(self.mean[None], len(codes), axis=0)
        for level in range(codes.shape[1]):
            vectors += self.centres[level][codes[:, level]]
        return vectors

    def distances(self, vectors: NDArray[np.float32], prefix: NDArray[np.int32]) -> NDArray[np.float32]:
        """Squared distance, prices added, of float32 ``(N, D)`` to each code behind ``prefix`` ``(N, l)``: ``(N, K_l)``."""
        residual = vectors - self.decode(prefix)
        centres, price = self.centres[prefix.shape[1]], self.prices[prefix.shape[1]]
        away = np.einsum("nd,nd->n", residual, residual)[:, None] - 2 * (residual @ centres.T)
        return np.asarray(np.maximum(away + 2 * half_norms(centres, price), 0))

    def save(self, path: Path) -> None:
        """One safetensors file; method, version and sizes are in its metadata, under one key, as JSON."""
        tensors = {"mean": self.mean, **{f"centres.{level}": table for level, table in enumerate(self.centres)}}
        tensors |= {f"prices.{level}": price for level, price in enumerate(self.prices) if price is not None}
        version = self.VERSION if all(price is None for price in self.prices) else self.VERSION_WITH_PRICES
        header = {"method": self.METHOD, "version": version, "sizes": self.sizes}
        # One key: safetensors writes several in an order that changes from run to run, and so would the file's hash.
        save_file(tensors, path, {HEADER: json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> ResidualKMeans:
        """See ``save``.

        Raises:
            ArtifactError: missing, damaged, or of another method or version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                found: dict[str, Any] = json.loads((file.metadata() or {})[HEADER])
                if found["method"] != cls.METHOD or found["version"] not in (cls.VERSION, cls.VERSION_WITH_PRICES):
                    raise ArtifactError(
                        f"{path} holds a quantizer {found['method']!r} of version {found['version']}, this sidrec reads "
                        f"{cls.METHOD!r} of versions {cls.VERSION} and {cls.VERSION_WITH_PRICES}: run `sidrec quantize` again"
                    )
                sizes, names = tuple(found["sizes"]), set(file.keys())
                centres = tuple(file.get_tensor(f"centres.{level}") for level in range(len(sizes)))
                priced = [f"prices.{level}" for level in range(len(sizes))]
                prices = tuple(file.get_tensor(name) if name in names else None for name in priced)
                quantizer = cls(file.get_tensor("mean"), centres, prices)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the quantizer {path} is missing or damaged ({error}): run `sidrec quantize` again") from None
        fits = [
            table.shape == (size, quantizer.width) and (price is None or price.shape == (size,))
            for table, price, size in zip(centres, prices, sizes, strict=True)
        ]
        if not all(fits):
            raise ArtifactError(f"the quantizer {path} contradicts itself in its sizes: run `sidrec quantize` again")
        return quantizer


def fit_residual_kmeans(lesson: Lesson, config: QuantizeConfig) -> ResidualKMeans:
    """``ResidualKMeans.fit`` as a method of the room's door."""
    rows = None if len(lesson.rows) == len(lesson.vectors) else lesson.rows
    return ResidualKMeans.fit(
        lesson.vectors, config.levels, lesson.seed, config.iterations, config.tolerance, rows, config.balance
    )


def check_finite(vectors: NDArray[np.float32], rows: NDArray[np.int64] | None = None) -> None:
    """
    Raises:
        DataError: some row, of ``rows`` or of all, holds NaN or infinity.
    """
    count = len(vectors) if rows is None else len(rows)
    for part in blocks(count, max(1, vectors.shape[1])):
        good = np.isfinite(vectors[part if rows is None else rows[part]]).all(axis=1)
        if not good.all():
            at = part.start + int(good.argmin())
            row = at if rows is None else int(rows[at])
            raise DataError(f"the vector of row {row} holds a value that is not finite: run `sidrec embed` again")


def fitting_sizes(items: int, sizes: Sequence[int]) -> list[int]:
    """Sizes that fit: powers of two that leave about four items a code."""
    most = max(2, 1 << max(1, (items // 4).bit_length() - 1))
    return [min(size, most, items) for size in sizes]
