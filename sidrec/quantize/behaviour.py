"""Vectors of how items are bought together.

Source: the matrix form of skip-gram (Levy & Goldberg 2014): positive pointwise mutual information of items bought near each
other, shifted, and factored by a truncated SVD.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

WINDOW = 4  # purchases apart; of 2, 4, 8 and whole histories 2 to 4 predicted the next purchase best
_SHIFT = 2.0  # a pair counts only where it is seen more than twice as often as chance would have it
_NOTHING = 1e-6  # rows shorter than this share of the longest are rounding


def behaviour_vectors(histories: Sequence[NDArray[np.int32]], n_items: int, dimension: int, seed: int) -> NDArray[np.float32]:
    """float32 ``(n_items, dimension)``: unit rows; zero rows for items that were never bought beside another.

    ``histories`` are item indices in time order, the training parts only: whatever stands in them is learned from.
    Two purchases of one user that lie ``d <= 4`` places apart count ``1 / d``. With fewer bought items than ``dimension``
    the last columns are zero.
    """
    vectors = np.zeros((n_items, dimension), dtype=np.float32)
    together = count_together(histories, n_items)
    bought = np.flatnonzero(np.diff(together.indptr))
    if len(bought) < 2:
        return vectors
    information = _shifted_information(together[bought][:, bought])
    width = min(dimension, len(bought) - 1)
    left, singular, _ = randomized_svd(information, width, n_iter=5, random_state=seed)
    rows = left * np.sqrt(singular)
    norms = np.linalg.norm(rows, axis=1)
    known = norms > _NOTHING * norms.max()
    vectors[bought[known], :width] = rows[known] / norms[known, None]
    return vectors


def count_together(histories: Sequence[NDArray[np.int32]], n_items: int) -> sparse.csr_matrix:
    """Symmetric ``(n_items, n_items)``, float32, nothing on the diagonal: a repeat purchase says nothing about pairs."""
    items = np.concatenate([np.empty(0, np.int32), *histories])
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    firsts, seconds, weights = [], [], []
    for apart in range(1, WINDOW + 1):
        paired = (users[apart:] == users[:-apart]) & (items[apart:] != items[:-apart])
        firsts.append(items[:-apart][paired])
        seconds.append(items[apart:][paired])
        weights.append(np.full(int(paired.sum()), 1 / apart, dtype=np.float32))
    pairs = (np.concatenate(weights), (np.concatenate(firsts), np.concatenate(seconds)))
    counts = sparse.csr_matrix(pairs, shape=(n_items, n_items))
    return sparse.csr_matrix(counts + counts.T)


def _shifted_information(together: sparse.csr_matrix) -> sparse.csr_matrix:
    """``max(0, log(c_ij c / (c_i c_j)) - log shift)``."""
    totals = np.asarray(together.sum(axis=1)).ravel()
    pairs = together.tocoo()
    chance = totals[pairs.row] * totals[pairs.col] / totals.sum()
    values = np.log(pairs.data / chance) - np.log(_SHIFT)
    kept = values > 0
    shape = together.shape
    return sparse.csr_matrix((values[kept].astype(np.float32), (pairs.row[kept], pairs.col[kept])), shape=shape)
