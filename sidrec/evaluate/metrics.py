"""Ranking metrics over exact items, vectorised over samples.

One item is right for each sample, and only its own index counts: an item that shares a code, a title or a prefix with
the truth is a miss. Shapes: B samples, K ranked items, L levels, R resamples, M columns of per-sample values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import DataError

PAD = -1
"""Fills a ranked row that holds fewer than K items, and codes that could not be read."""

_BLOCK_DRAWS = 1_000_000


def ranks(ranked_BK: NDArray[np.int32], truth_B: NDArray[np.int32]) -> NDArray[np.int64]:
    """Place of the true item in each ranked row: int64 ``(B,)``, from 1; 0 where it is not there.

    ``ranked_BK``: item indices, best first, ``PAD`` (-1) behind the last one. A padding never equals a truth.

    Raises:
        DataError: the shapes differ, a truth is negative, or a row holds one item twice (each repeat would be a free try).

    >>> ranks(np.array([[7, 3, 5], [7, 3, -1], [7, 3, 5]]), np.array([3, 5, 7])).tolist()
    [2, 0, 1]
    """
    if ranked_BK.ndim != 2 or truth_B.shape != (len(ranked_BK),):
        raise DataError(f"ranked items must be B x K and truths B, found {ranked_BK.shape} and {truth_B.shape}")
    if truth_B.size and truth_B.min() < 0:
        raise DataError(f"a truth must be an item index, found {truth_B.min()} in row {int(truth_B.argmin())}")
    ordered = np.sort(ranked_BK, axis=1)
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if repeated.any():
        raise DataError(f"ranked row {int(repeated.argmax())} holds one item twice; a ranking names each item once")
    places_BK = (ranked_BK == truth_B[:, None]) * np.arange(1, ranked_BK.shape[1] + 1)
    found: NDArray[np.int64] = places_BK.max(axis=1, initial=0)
    return found


def hits(ranks_B: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """1.0 for each sample whose true item is among the first ``k``, else 0.0: float64 ``(B,)``."""
    return ((ranks_B > 0) & (ranks_B <= k)).astype(np.float64)


def gains(ranks_B: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """NDCG of each sample at ``k``: ``1 / log2(1 + rank)``, 0 past ``k``: float64 ``(B,)``.

    The ideal ranking has the one true item first, with gain 1, so DCG is NDCG already.
    """
    found = (ranks_B > 0) & (ranks_B <= k)
    return np.where(found, 1.0 / np.log2(1.0 + np.where(found, ranks_B, 1)), 0.0)


def reciprocals(ranks_B: NDArray[np.int64]) -> NDArray[np.float64]:
    """``1 / rank`` of each sample, 0 where the truth was not found: float64 ``(B,)``."""
    return np.where(ranks_B > 0, 1.0 / np.maximum(ranks_B, 1), 0.0)


def mean(values: NDArray[np.float64]) -> float:
    """The mean, and NaN of nothing: no data is not zero.

    >>> mean(np.array([1.0, 0.0])), mean(np.array([]))
    (0.5, nan)
    """
    return float(values.mean()) if values.size else float("nan")


def recall_at(ranks_B: NDArray[np.int64], k: int) -> float:
    """Recall@k = (samples whose true item is among the first k) / (samples).

    >>> recall_at(np.array([1, 3, 12, 0]), 10)  # two of four
    0.5
    """
    return mean(hits(ranks_B, k))


def hit_at(ranks_B: NDArray[np.int64], k: int) -> float:
    """Hit rate@k. With one true item a sample it equals Recall@k; the literature uses both names.

    >>> hit_at(np.array([1, 3, 12, 0]), 1)
    0.25
    """
    return recall_at(ranks_B, k)


def ndcg_at(ranks_B: NDArray[np.int64], k: int) -> float:
    """NDCG@k = mean of ``1 / log2(1 + rank)``, 0 past k.

    >>> ndcg_at(np.array([1, 3, 12, 0]), 10)  # (1/log2(2) + 1/log2(4) + 0 + 0) / 4 = (1 + 1/2) / 4
    0.375
    """
    return mean(gains(ranks_B, k))


def mrr(ranks_B: NDArray[np.int64]) -> float:
    """Mean reciprocal rank = mean of ``1 / rank``, 0 where the truth is not in the list.

    >>> mrr(np.array([1, 2, 4, 0]))  # (1 + 1/2 + 1/4 + 0) / 4
    0.4375
    """
    return mean(reciprocals(ranks_B))


def prefix_matches(predicted_BL: NDArray[np.int32], truth_BL: NDArray[np.int32]) -> NDArray[np.bool_]:
    """bool ``(B, L)``: column l tells whether the first l + 1 codes are all right. Codes of ``PAD`` match nothing.

    Raises:
        DataError: the shapes differ.
    """
    if predicted_BL.shape != truth_BL.shape or predicted_BL.ndim != 2:
        raise DataError(f"predicted and true codes must be B x L both, found {predicted_BL.shape} and {truth_BL.shape}")
    return np.logical_and.accumulate((predicted_BL == truth_BL) & (predicted_BL >= 0), axis=1)


def ladder(predicted_BL: NDArray[np.int32], truth_BL: NDArray[np.int32]) -> NDArray[np.float64]:
    """Shares of samples whose codes are right up to A, AB, ABC, ABCD...: float64 ``(L,)``, never rising.

    ladder[l] = (samples whose first l + 1 codes all equal the truth's) / (samples). NaN for no samples.

    >>> truth = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]])
    >>> ladder(np.array([[1, 2, 3], [1, 2, 9], [9, 2, 3], [-1, -1, -1]]), truth).tolist()
    [0.5, 0.5, 0.25]
    """
    matches = prefix_matches(predicted_BL, truth_BL)
    return matches.mean(axis=0) if len(matches) else np.full(truth_BL.shape[1], np.nan)


def any_code_hit(ranked_codes_BK: NDArray[np.int32], truth_B: NDArray[np.int32]) -> NDArray[np.float64]:
    """1.0 for each sample where any of K first-level codes (``PAD`` for none) is the truth's: float64 ``(B,)``.

    >>> any_code_hit(np.array([[4, 7, -1], [4, 4, 7]]), np.array([7, 5])).tolist()
    [1.0, 0.0]
    """
    hit: NDArray[np.bool_] = (ranked_codes_BK == truth_B[:, None]).any(axis=1)
    return hit.astype(np.float64)


def bootstrap_means(values_BM: NDArray[np.float64], rng: np.random.Generator, resamples: int = 1000) -> NDArray[np.float64]:
    """Means of ``resamples`` draws of B samples with replacement: float64 ``(R, M)``.

    All M columns see the same draws, so the difference of two columns is a paired comparison of two systems.
    Works in blocks of resamples of about 30 MB. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    n = len(values_BM)
    means = np.empty((resamples, values_BM.shape[1]))
    block = max(1, _BLOCK_DRAWS // max(n, 1))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        draws = rng.integers(n, size=(rows, n)) + np.arange(rows)[:, None] * n
        counts = np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n)
        means[start : start + rows] = counts.astype(np.float64) @ values_BM / n
    return means


def interval(means_R: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrapped means.

    >>> interval(np.arange(101.0), 0.9)
    (5.0, 95.0)
    """
    low, high = np.quantile(means_R, [(1 - level) / 2, (1 + level) / 2])
    # the last bits depend on how many threads the matrix product ran on; the report's bytes must not
    return round(float(low), 12), round(float(high), 12)
