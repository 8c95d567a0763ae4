"""What the levels so far leave of some vectors, computed a block at a time: a million vectors are never copied whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """Reads like float32 ``(M, D)`` in blocks: vectors, less the mean, less the centres of each level's code.

    ``vectors`` float32 ``(N, D)``, perhaps mapped from disk; ``rows`` int64 ``(M,)`` or all of them; ``centres[l]`` float32
    ``(K_l, D)`` and ``codes[l]`` int32 ``(M,)``.
    """

    vectors: NDArray[np.float32]
    mean: NDArray[np.float32]
    rows: NDArray[np.int64] | None = None
    centres: tuple[NDArray[np.float32], ...] = ()
    codes: tuple[NDArray[np.int32], ...] = ()

    def __len__(self) -> int:
        return len(self.vectors) if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.vectors.shape[1]

    def __getitem__(self, at: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        block: NDArray[np.float32] = self.vectors[at if self.rows is None else self.rows[at]] - self.mean
        for centres, codes in zip(self.centres, self.codes, strict=True):
            block -= centres[codes[at]]
        return block

    def take(self, at: NDArray[np.int64]) -> Residual:
        """Some of the rows."""
        rows = at if self.rows is None else self.rows[at]
        return Residual(self.vectors, self.mean, rows, self.centres, tuple(codes[at] for codes in self.codes))

    def behind(self, centres: NDArray[np.float32], codes: NDArray[np.int32]) -> Residual:
        """One level deeper."""
        return Residual(self.vectors, self.mean, self.rows, (*self.centres, centres), (*self.codes, codes))


Rows = NDArray[np.float32] | Residual
"""Vectors in memory, or residuals that are computed when read."""


def take(rows: Rows, at: NDArray[np.int64]) -> Rows:
    """Some rows: a copy of an array, a view of a residual."""
    return rows.take(at) if isinstance(rows, Residual) else rows[at]
