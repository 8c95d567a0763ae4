"""Items in one learned code: all but the first move to their next-nearest free code of the last level.

A code is free where no item with the same codes before it holds it. Close to the collision handling of LC-Rec (Zheng et al.
2024), which spreads an RQ-VAE's last level by optimal transport; here each item pays at most ``limit``, and an item that is
alone in its code never moves. Measured on Beauty's titles (3 x 256, two seeds; limit in units of the mean residual): items
alone in their code, distinct codes an item, mean squared residual after level 3, items moved, items left for the tie level:

    no moves   .867   .924   .3001     0   1612
    0.1        .960   .978   .3007   644    484
    0.2        .981   .989   .3012   782    232
    0.3        .986   .992   .3014   818    169
    1          .999   .999   .3026   906     17
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec.quantize.kmeans import blocks
from sidrec.quantize.prefixes import group_ids
from sidrec.types import Quantizer

_MEAN_ROWS = 65_536  # rows that say how large a residual is

Distances = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Rows ``(n,)`` to their squared distances from each code of the last level, float32 ``(n, K)``."""


def move_collisions(
    quantizer: Quantizer,
    vectors: NDArray[np.float32],
    encoded: NDArray[np.int32],
    item_ids: Sequence[str],
    limit: float,
    late: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Learned codes int32 ``(N, levels)`` in which fewer items share a code; only the last level differs from ``encoded``.

    Where several items meet, the first by item id (a string, by code point) keeps the code; the others, in the same order,
    take the nearest free one if that adds at most ``limit`` to their squared distance, and else stay. Items marked ``late``
    come after all others and move none of them.
    """
    later = np.zeros(len(encoded), np.bool_) if late is None else late
    by_id = pl.Series(item_ids, dtype=pl.String).arg_sort().to_numpy().astype(np.int64)
    first, second = by_id[~later[by_id]], by_id[later[by_id]]
    prefix, last = group_ids(encoded[:, :-1]), encoded[:, -1].copy()

    def distances(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return quantizer.distances(vectors[rows], encoded[rows, :-1])

    codes = quantizer.sizes[-1]
    settle(prefix, last, first, distances, codes, limit, first[:0])
    settle(prefix, last, second, distances, codes, limit, first)
    return np.column_stack((encoded[:, :-1], last)).astype(np.int32)


def settle(
    prefix_N: NDArray[np.int64],
    last_N: NDArray[np.int32],
    waiting: NDArray[np.int64],
    distances: Distances,
    codes: int,
    limit: float,
    holders: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Give each row of ``waiting``, in that order, a code of its own among the rows of its prefix, in place in ``last_N``.

    ``last_N`` holds each row's nearest code. ``holders`` are rows that have theirs for good. Returns the rows that moved.
    """
    keys = prefix_N * codes + last_N
    _, first = np.unique(keys[waiting], return_index=True)
    alone = np.zeros(len(waiting), dtype=np.bool_)
    alone[first] = True
    alone &= ~np.isin(keys[waiting], keys[holders])
    left = waiting[~alone]
    if not len(left):
        return left
    settled = np.concatenate((holders, waiting[alone]))
    settled = settled[np.argsort(prefix_N[settled], kind="stable")]
    starts = np.searchsorted(prefix_N[settled], prefix_N[left])
    ends = np.searchsorted(prefix_N[settled], prefix_N[left], side="right")
    full_codes = last_N[settled]
    taken_since: dict[int, list[int]] = {}
    moved = []
    for part in blocks(len(left), codes):
        rows = left[part]
        for row, group, start, end, away in zip(rows, prefix_N[rows], starts[part], ends[part], distances(rows), strict=True):
            since = taken_since.setdefault(int(group), [])
            if end - start + len(since) == codes:
                continue
            nearest = away[last_N[row]]
            away[full_codes[start:end]] = np.inf
            away[since] = np.inf
            code = int(away.argmin())
            if away[code] - nearest <= limit:
                last_N[row] = code
                since.append(code)
                moved.append(row)
    return np.array(moved, dtype=np.int64)


def mean_residual(
    quantizer: Quantizer, vectors: NDArray[np.float32], encoded: NDArray[np.int32], rows: NDArray[np.int64]
) -> float:
    """Mean squared distance of ``rows`` from their codes of the last level, from at most 65,536 of them, evenly spread."""
    if len(rows) > _MEAN_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, _MEAN_ROWS).astype(np.int64)]
    total = 0.0
    for part in blocks(len(rows), quantizer.sizes[-1]):
        some = rows[part]
        away = quantizer.distances(vectors[some], encoded[some, :-1])
        total += float(away[np.arange(len(some)), encoded[some, -1]].sum(dtype=np.float64))
    return total / max(1, len(rows))
