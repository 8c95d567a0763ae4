"""One level of k-means, in blocks so that memory stays bounded.

**The start.** Lloyd's steps begin from centres found in the first D/8 principal axes (greedy k-means++), widened to D/4, D/2
and D. Measured on Beauty's titles (12,101 x 384, MiniLM, 3 x 256 codes, one thread; mean squared residual after each level,
used codes as perplexity a level, distinct codes before ties, seconds; this: three seeds):

    random rows                .442 .362 .315   211 128  79   .880   2.7
    k-means++                  .441 .367 .327                 .855   3.6
    greedy k-means++, 8 tries  .437 .354 .306                 .887   5.9
    widening axes (this)       .440 .355 .307   236 217 208   .913   2.4

Started in all axes, centres settle on outliers and half of the codes stay nearly unused: the same error, poorer codes.
(Progressive-dimension clustering is from faiss, whose residual quantizer gives .312 and .912 in 5.9 s here.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sidrec.quantize.residual import Rows, take

_CELLS = 1 << 21  # distances held at once: 8 MB
_ROWS_A_CODE = 200  # centres are sought among so many rows a code; more do not change them
_FULL_STEPS = 2  # Lloyd steps over all rows where a part was drawn
_HELD = 1 << 25  # numbers of a residual that are kept in memory, not computed anew at each step: 134 MB
_TRIES = 4  # candidates a step of greedy k-means++
_MIN_WIDTH = 8  # fewer axes than this are no start
_START_STEPS = 10
_START_TOLERANCE = 1e-3
_NO_SPREAD = 1e-6  # of the level's mean squared norm; below it a distance is rounding


def blocks(rows: int, codes: int) -> Iterator[slice]:
    """Slices of ``rows`` whose distances to ``codes`` centres fit in the block memory."""
    step = min(max(256, _CELLS // codes), 8192)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def nearest(
    vectors_ND: Rows, centres_KD: NDArray[np.float32], prices_K: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest centre of each row, int32 ``(N,)`` (the lowest of equals), and the squared distance, float32 ``(N,)``.

    With prices (see ``balance``) the one of least squared distance plus price, and the two added up.
    """
    half_K = half_norms(centres_KD, prices_K)
    labels = np.empty(len(vectors_ND), dtype=np.int32)
    distances = np.empty(len(vectors_ND), dtype=np.float32)
    for part in blocks(len(vectors_ND), len(centres_KD)):
        labels[part], distances[part] = _nearest(vectors_ND[part], centres_KD, half_K)
    return labels, distances


def half_norms(centres_KD: NDArray[np.float32], prices_K: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """What ``vectors @ centres.T`` is taken from, for half the squared distance less a constant of the row."""
    squares = (centres_KD * centres_KD).sum(axis=1)
    return np.asarray((squares if prices_K is None else squares + prices_K) / 2, dtype=np.float32)


def _nearest(
    block_BD: NDArray[np.float32], centres_KD: NDArray[np.float32], half_K: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    half_BK = block_BD @ centres_KD.T
    np.subtract(half_K, half_BK, out=half_BK)
    labels = half_BK.argmin(axis=1).astype(np.int32)
    best = half_BK[np.arange(len(block_BD)), labels]
    return labels, np.maximum(2 * best + np.einsum("nd,nd->n", block_BD, block_BD), 0)


def recentred(rows_ND: Rows, centres_KD: NDArray[np.float32], prices_K: NDArray[np.float32]) -> NDArray[np.float32]:
    """One Lloyd step at given prices; empty clusters keep their centre."""
    labels, _, sums, _ = _assign(rows_ND, centres_KD, prices_K)
    sizes = np.bincount(labels, minlength=len(centres_KD))
    means = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    return np.where(sizes[:, None] > 0, means, centres_KD)


def kmeans(rows_ND: Rows, codes: int, iterations: int, tolerance: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Centres float32 ``(codes, D)``: at most ``iterations`` Lloyd steps, until the mean squared error falls by a smaller
    share than ``tolerance``. An empty cluster is put on a row of the largest one. Where there are fewer distinct rows than
    codes, some centres stay empty.

    Of more than 200 rows a code so many are drawn for this, and a last few steps go over all rows.
    """
    sample = rows_ND
    if len(rows_ND) > codes * _ROWS_A_CODE:
        sample = take(rows_ND, np.sort(rng.choice(len(rows_ND), codes * _ROWS_A_CODE, replace=False)))
    if sample.shape[0] * sample.shape[1] <= _HELD:
        sample = sample[:]  # computed once
    centres = _lloyd(sample, _start(sample, codes, rng), iterations, tolerance, rng)
    if len(sample) < len(rows_ND):
        del sample  # 79 MB for 256 codes of width 384
        centres = _lloyd(rows_ND, centres, _FULL_STEPS, 0.0, rng)
    return centres


def _start(sample_ND: Rows, codes: int, rng: np.random.Generator) -> NDArray[np.float32]:
    width = sample_ND.shape[1]
    if sample_ND.shape[0] * width > _HELD:
        sample_ND = take(sample_ND, np.sort(rng.choice(len(sample_ND), max(codes, _HELD // width), replace=False)))
    sample_ND = sample_ND[:]
    widths = [width // part for part in (8, 4, 2) if width // part >= _MIN_WIDTH]
    if not widths:
        return _greedy_plus_plus(sample_ND, codes, rng)
    _, axes = np.linalg.eigh((sample_ND.T @ sample_ND).astype(np.float64))
    axes_DW = np.ascontiguousarray(axes[:, ::-1][:, : widths[-1]], dtype=np.float32)  # the widest axes first
    projected = sample_ND @ axes_DW
    centres = np.empty((codes, 0), dtype=np.float32)
    for wide in widths:
        rows = np.ascontiguousarray(projected[:, :wide])
        if centres.shape[1]:
            centres = np.pad(centres, ((0, 0), (0, wide - centres.shape[1])))
        else:
            centres = _greedy_plus_plus(rows, codes, rng)
        centres = _lloyd(rows, centres, _START_STEPS, _START_TOLERANCE, rng)
    return np.ascontiguousarray(centres @ axes_DW.T)


def _greedy_plus_plus(rows_ND: NDArray[np.float32], codes: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Arthur & Vassilvitskii 2007: each next centre is drawn by squared distance, here the best of a few draws."""
    norms = np.einsum("nd,nd->n", rows_ND, rows_ND)
    first = int(rng.integers(len(rows_ND)))
    chosen = [first]
    nearest_yet = np.maximum(norms + norms[first] - 2 * (rows_ND @ rows_ND[first]), 0)
    for _ in range(1, codes):
        running = np.cumsum(nearest_yet, dtype=np.float64)
        drawn = np.searchsorted(running, rng.random(_TRIES) * running[-1], side="right")
        tries = np.minimum(drawn, len(rows_ND) - 1)
        reach = np.maximum(norms + norms[tries, None] - 2 * (rows_ND[tries] @ rows_ND.T), 0)
        np.minimum(reach, nearest_yet, out=reach)
        best = int(reach.sum(axis=1).argmin())
        nearest_yet = reach[best]
        chosen.append(int(tries[best]))
    return np.ascontiguousarray(rows_ND[chosen])


def _lloyd(
    rows_ND: Rows, centres_KD: NDArray[np.float32], iterations: int, tolerance: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    before = np.inf
    for _ in range(iterations):
        labels, distances, sums, norm = _assign(rows_ND, centres_KD)
        sizes = np.bincount(labels, minlength=len(centres_KD))
        used = sizes > 0
        centres_KD = centres_KD.copy()
        centres_KD[used] = sums[used] / sizes[used, None]
        revived = _revive(rows_ND, centres_KD, labels, distances, norm, rng)
        error = float(distances.mean(dtype=np.float64))
        if not revived and before - error <= tolerance * before and np.isfinite(before):
            break
        before = error
    return centres_KD


def _assign(
    rows_ND: Rows, centres_KD: NDArray[np.float32], prices_K: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float64], float]:
    """``nearest``, and in the same pass the sum of each centre's rows and the mean squared norm of all rows."""
    half_K = half_norms(centres_KD, prices_K)
    labels = np.empty(len(rows_ND), dtype=np.int32)
    distances = np.empty(len(rows_ND), dtype=np.float32)
    sums, norm = np.zeros(centres_KD.shape), 0.0
    for part in blocks(len(rows_ND), len(centres_KD)):
        block = rows_ND[part]
        labels[part], distances[part] = _nearest(block, centres_KD, half_K)
        add_rows(sums, labels[part], block)
        norm += float(np.einsum("nd,nd->", block, block, dtype=np.float64))
    return labels, distances, sums, norm / len(rows_ND)


def add_rows(sums_KD: NDArray[np.float64], labels_B: NDArray[np.int32], block_BD: NDArray[np.float32]) -> None:
    """Add each row to the sum of its label, in place."""
    used, places = np.unique(labels_B, return_inverse=True)
    # One row a vector, one column a label: scipy's sparse product sums the members without a Python loop.
    members = sparse.csr_matrix(
        (np.ones(len(labels_B), np.float32), places.ravel(), np.arange(len(labels_B) + 1)), shape=(len(labels_B), len(used))
    )
    sums_KD[used] += np.asarray(members.T @ block_BD)


def _revive(
    rows_ND: Rows,
    centres_KD: NDArray[np.float32],
    labels: NDArray[np.int32],
    distances: NDArray[np.float32],
    norm: float,
    rng: np.random.Generator,
) -> bool:
    """Put each empty centre on a member of the largest cluster, in place; whether any was moved.

    The largest, not the farthest row: an outlier would make a code that one item uses.
    """
    codes = len(centres_KD)
    sizes = np.bincount(labels, minlength=codes).astype(np.float64)
    empty = np.flatnonzero(sizes == 0)
    if not len(empty):
        return False
    spread = np.bincount(labels, weights=distances, minlength=codes)
    sizes[spread <= _NO_SPREAD * norm * sizes] = 0.0  # equal rows cannot be split
    moved = False
    for centre in empty:
        largest = int(sizes.argmax())
        if sizes[largest] < 2:
            break
        centres_KD[centre] = rows_ND[rng.choice(np.flatnonzero(labels == largest), 1)][0]
        sizes[largest] /= 2
        moved = True
    return moved
