"""The rows that an RQ-VAE learns from: checked, split, brought to unit spread batch by batch, never copied whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.errors import DataError
from sidrec.quantize.kmeans import blocks
from sidrec.quantize.lesson import Lesson
from sidrec.quantize.residual_kmeans import check_finite, fitting_sizes

_MOST_VALID = 20_000  # validation rows; more would say the same and take their time at every look


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """``train`` and ``valid`` are rows of ``vectors``, rising; a row becomes ``(vector - mean) / scale``."""

    vectors: NDArray[np.float32]
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    mean: NDArray[np.float32]
    scale: float

    @classmethod
    def of(cls, lesson: Lesson, sizes: tuple[int, ...], valid_share: float) -> Prepared:
        """Split by the seed; mean and scale are of all rows that may be learned from.

        Raises:
            DataError: a value is not finite, all vectors are equal, or a level has more codes than there are rows to learn
                from.
        """
        rows = lesson.rows
        order = np.random.default_rng([lesson.seed, *b"quantize.rq-vae.split"]).permutation(rows)
        held = min(int(valid_share * len(rows)), _MOST_VALID)
        train = np.sort(order[held:])
        for level, size in enumerate(sizes):
            if size > len(train):
                out = f" ({held} more are held out for validation)" if held else ""
                raise DataError(
                    f"{len(train)} items{out} cannot fill the {size} codes of level {ascii_uppercase[level]}: "
                    f"set quantize.levels to sizes of at most {len(train)}, e.g. {fitting_sizes(len(train), sizes)}"
                )
        check_finite(lesson.vectors, rows)
        total = np.zeros(lesson.vectors.shape[1])
        squares = np.zeros_like(total)
        for part in blocks(len(rows), max(1, len(total))):
            block = lesson.vectors[rows[part]]
            total += block.sum(axis=0, dtype=np.float64)
            squares += np.einsum("nd,nd->d", block, block, dtype=np.float64)
        mean = total / len(rows)
        scale = float(np.sqrt(max(0.0, float((squares / len(rows) - mean**2).mean()))))
        if not scale > 1e-6 * max(float(np.abs(mean).max()), 1e-30):
            raise DataError(
                f"all {len(rows)} vectors are equal, so no code can tell the items apart: "
                "check the items' text, embed.fields and embed.encoder"
            )
        return cls(lesson.vectors, train, np.sort(order[:held]), mean.astype(np.float32), scale)

    def rows(self, items: NDArray[np.int64], device: torch.device) -> Tensor:
        """float32 ``(len(items), D)`` of unit spread."""
        return torch.from_numpy((self.vectors[items] - self.mean) / np.float32(self.scale)).to(device)

    def digest(self) -> str:
        """Of everything here: what a checkpoint belongs to."""
        digest = hashlib.sha256()
        for rows in (self.train, self.valid):
            digest.update(rows.tobytes())
        for part in blocks(len(self.vectors), max(1, self.vectors.shape[1])):
            digest.update(np.ascontiguousarray(self.vectors[part]).tobytes())
        return digest.hexdigest()
