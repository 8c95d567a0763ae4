"""Centres of all levels fitted together, to codes that collide less.

Levels that are learned one after the other never learn from what came behind them. Here the centres of all levels are solved
together by least squares for fixed codes (additive quantization does so: Babenko & Lempitsky 2014), then all rows are encoded
anew, a few times over. Before each solve, rows that share a code are moved apart on the last level as ``collisions`` would:
the centres settle where near-equal rows get codes of their own, so that fewer rows meet later although nobody is moved then.

Measured on Beauty's titles (3 x 256, two seeds, one thread): mean squared residual after A, B, C; distinct codes an item;
share of (last training, validation) purchases with one A code, with one AB; seconds beside 2.3 for the levels one by one:

    no rounds            .439  .355  .3066   .911   .0739  .0132
    1 round              .443  .353  .3023   .923   .0742  .0136   0.1
    3 rounds (this)      .445  .352  .3001   .924   .0748  .0141   0.4
    5 rounds             .445  .352  .2991   .924   .0749  .0142   0.6
    1 round, not parted              .3014   .909

A beam search over four codes a level when encoding took another .0013 off the residual without refinement, and uniqueness
with it (.926 to .923 of distinct codes where rows were parted); it was left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sidrec.quantize.balance import capacity_prices
from sidrec.quantize.collisions import settle
from sidrec.quantize.kmeans import add_rows, blocks, half_norms, nearest
from sidrec.quantize.prefixes import group_ids
from sidrec.quantize.residual import Residual

_ROUNDS = 3
_LIMIT = 0.3  # what moving a row apart may add to its squared error, in units of the mean


def refine(
    left: Residual, centres: Sequence[NDArray[np.float32]], prices: Sequence[NDArray[np.float32] | None], capacity: float
) -> tuple[tuple[NDArray[np.float32], ...], tuple[NDArray[np.float32] | None, ...]]:
    """Centres a level, float32 ``(K_l, D)``, and prices (see ``balance``; with a ``capacity`` above 0, else None), from those
    that were learned one by one. ``left`` has no levels yet.
    """
    tables, fees = tuple(centres), list(prices)
    if len(tables) < 2:
        return tables, tuple(fees)
    for last_round in (*[False] * _ROUNDS, True):
        deeper = left
        for level, table in enumerate(tables):
            if capacity > 0:
                fees[level] = capacity_prices(deeper, table, capacity, fees[level])
            elif last_round:
                break  # nothing is left to be fitted
            codes, away = nearest(deeper, table, fees[level])
            if level == len(tables) - 1 and not last_round:
                _part(deeper, half_norms(table, fees[level]), table, codes, _LIMIT * float(away.mean(dtype=np.float64)))
            deeper = deeper.behind(table, codes)
        if not last_round:
            tables = _solve(deeper)
    return tables, tuple(fees)


def _part(
    left: Residual, half: NDArray[np.float32], table: NDArray[np.float32], codes: NDArray[np.int32], limit: float
) -> None:
    """Move rows that share a code apart, in place."""

    def distances(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(2 * (half - left[rows] @ table.T))  # less a constant of the row, as only differences count

    prefix = group_ids(np.column_stack(left.codes))
    settle(prefix, codes, np.arange(len(left)), distances, len(table), limit, np.empty(0, np.int64))


def _solve(left: Residual) -> tuple[NDArray[np.float32], ...]:
    """Centres that leave less of ``left``, for the codes that it has; codes that no row has keep theirs.

    One level after the other, each given the ones before: one sweep of Gauss-Seidel. Ten did no better.
    """
    sums = [np.zeros(table.shape) for table in left.centres]
    for part in blocks(len(left), max(map(len, left.centres))):
        block = left[part]
        for total, codes in zip(sums, left.codes, strict=True):
            add_rows(total, codes[part], block)
    sizes = [np.bincount(codes, minlength=len(table)) for codes, table in zip(left.codes, left.centres, strict=True)]
    tables = []
    for level, (total, size) in enumerate(zip(sums, sizes, strict=True)):
        shift = total / np.maximum(size, 1)[:, None]
        tables.append((left.centres[level] + shift).astype(np.float32))
        for other in range(level + 1, len(sums)):  # what is left for the next ones, without another pass over the rows
            sums[other] -= _together(left, other, level) @ shift
    return tuple(tables)


def _together(left: Residual, first: int, second: int) -> sparse.csr_matrix:
    """How many rows have each pair of codes of two levels, ``(K_first, K_second)``."""
    shape = (len(left.centres[first]), len(left.centres[second]))
    ones = np.ones(len(left))
    return sparse.csr_matrix(sparse.coo_matrix((ones, (left.codes[first], left.codes[second])), shape=shape))
