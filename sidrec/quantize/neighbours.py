"""The nearest vectors of many, in bounded time: exactly in a small catalogue, through cells in a large one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sidrec.quantize.kmeans import blocks, kmeans, nearest

_EXACT = 30_000  # base rows up to which every pair is compared: 12 k x 12 k x 384 takes about 2 s on one thread
_PROBES = 4  # cells a query looks into
_CELL_ROWS = 50_000  # rows that fix the cells

Cells = tuple[NDArray[np.float32], NDArray[np.int32]]
"""Centres ``(C, D)``, and the cell of each base row ``(M,)``."""


def nearest_neighbours(
    queries_QD: NDArray[np.float32],
    base_MD: NDArray[np.float32],
    own_Q: NDArray[np.int64],
    k: int,
    seed: int,
    cells: Cells | None = None,
) -> NDArray[np.int64]:
    """For each query the ``k`` base rows of largest inner product, int64 ``(Q, k)``; -1 where there are fewer.

    ``own_Q`` is the query's own row in the base, which is left out, or -1. Above 30,000 base rows the answer is approximate:
    the base is split into about the root of its rows' number of cells, and each query looks into the nearest four.
    ``cells`` are those of ``find_cells``, where they have been found before: then the answer for a query is the same as then.
    """
    best = np.full((len(queries_QD), k), -np.inf, dtype=np.float32)
    found = np.full((len(queries_QD), k), -1, dtype=np.int64)
    if not len(base_MD):
        return found
    if len(base_MD) <= _EXACT:
        for part in blocks(len(queries_QD), len(base_MD)):
            found[part] = exact_neighbours(queries_QD[part], [(np.arange(len(base_MD)), base_MD)], own_Q[part], k)
        return found
    centres, cell_of = cells or find_cells(base_MD, seed)
    by_cell = np.argsort(cell_of, kind="stable")
    ends = np.searchsorted(cell_of[by_cell], np.arange(len(centres) + 1))
    looked_into = _nearest_cells(queries_QD, centres)
    for probe in range(looked_into.shape[1]):
        by_query = np.argsort(looked_into[:, probe], kind="stable")
        query_ends = np.searchsorted(looked_into[by_query, probe], np.arange(len(centres) + 1))
        for cell in np.unique(looked_into[:, probe]).tolist():
            members = by_cell[ends[cell] : ends[cell + 1]]
            rows = by_query[query_ends[cell] : query_ends[cell + 1]]
            if not len(members):
                continue
            for part in blocks(len(rows), len(members)):
                _merge(best, found, rows[part], queries_QD[rows[part]] @ base_MD[members].T, members, own_Q)
    return found


def find_cells(base_MD: NDArray[np.float32], seed: int) -> Cells:
    """The cells of a base; none where it is small enough to compare with all of it."""
    if len(base_MD) <= _EXACT:
        return np.empty((0, base_MD.shape[1]), dtype=np.float32), np.zeros(len(base_MD), dtype=np.int32)
    rng = np.random.default_rng([seed, *b"quantize.neighbours"])
    sample = base_MD[np.sort(rng.choice(len(base_MD), min(len(base_MD), _CELL_ROWS), replace=False))]
    centres = kmeans(sample, int(np.sqrt(len(base_MD))), iterations=10, tolerance=1e-3, rng=rng)
    return centres, nearest(base_MD, centres)[0]


def exact_neighbours(
    queries_QD: NDArray[np.float32],
    base: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]],
    own_Q: NDArray[np.int64],
    k: int,
) -> NDArray[np.int64]:
    """The same, exactly, from a base that comes in blocks of row numbers int64 ``(B,)`` and rows float32 ``(B, D)``.

    Which of rows that lie alike are kept is arbitrary, and the same every time.
    """
    best = np.full((len(queries_QD), k), -np.inf, dtype=np.float32)
    found = np.full((len(queries_QD), k), -1, dtype=np.int64)
    everyone = np.arange(len(queries_QD))
    for members, rows in base:
        _merge(best, found, everyone, queries_QD @ rows.T, members, own_Q)
    return found


def _nearest_cells(queries_QD: NDArray[np.float32], centres_CD: NDArray[np.float32]) -> NDArray[np.int64]:
    half = (centres_CD * centres_CD).sum(axis=1) / 2
    probes = min(_PROBES, len(centres_CD))
    cells = np.empty((len(queries_QD), probes), dtype=np.int64)
    for part in blocks(len(queries_QD), len(centres_CD)):
        away = half - queries_QD[part] @ centres_CD.T
        cells[part] = np.argpartition(away, probes - 1, axis=1)[:, :probes]
    return cells


def _merge(
    best_QK: NDArray[np.float32],
    found_QK: NDArray[np.int64],
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    members: NDArray[np.int64],
    own_Q: NDArray[np.int64],
) -> None:
    """Keep, in place, the best of what the rows have and of ``members`` with ``scores`` ``(len(rows), len(members))``."""
    k = best_QK.shape[1]
    scores[members[None, :] == own_Q[rows, None]] = -np.inf
    take = min(k, len(members))
    top = np.argpartition(scores, len(members) - take, axis=1)[:, len(members) - take :]
    top_scores = np.take_along_axis(scores, top, axis=1)
    top_members = np.where(np.isfinite(top_scores), members[top], -1)
    all_scores = np.concatenate((best_QK[rows], top_scores), axis=1)
    all_members = np.concatenate((found_QK[rows], top_members), axis=1)
    order = np.lexsort((all_members, -all_scores), axis=1)[:, :k]
    best_QK[rows] = np.take_along_axis(all_scores, order, axis=1)
    found_QK[rows] = np.take_along_axis(all_members, order, axis=1)
