"""What anybody could do without a model, on the same samples: popularity, co-occurrence, nearest vectors, constants.

All are fitted on the training parts of histories only. One shape for all: ``top(histories, k, exclude_seen)`` gives
int32 ``(B, k)``, best first, padded with -1 where fewer items are eligible. Equal scores are ordered by item index, the
lower first, so neither the order of users nor of rows in a file can win a tie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sidrec.errors import DataError

Histories = Sequence[Sequence[int]] | Sequence[NDArray[np.int32]]
_BLOCK_SCORES = 2_000_000  # scores held at once: under 100 MB with their sort keys, whatever the catalogue's size


class Baseline(Protocol):
    """Recommends items for histories."""

    def top(self, histories: Histories, k: int, exclude_seen: bool) -> NDArray[np.int32]:
        """int32 ``(B, k)``: for each history (item indices, oldest first) the best items, best first, -1 for none."""
        ...


def top_k(scores_BN: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """The k best columns of each row, best first; equal scores by column; -1 where the score is -inf. int32 ``(B, k)``.

    A float32 of either sign becomes an integer of the same order, with the column in the lower half: keys are distinct,
    so a partial sort is exact at the boundary too, where ``argpartition`` takes any of the tied.

    >>> top_k(np.array([[1, 3, 3, -np.inf]], dtype=np.float32), 4).tolist()
    [[1, 2, 0, -1]]
    """
    n = scores_BN.shape[1]
    bits = (scores_BN + np.float32(0.0)).view(np.int32).astype(np.int64)  # + 0.0: -0.0 and 0.0 are one score
    keys = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits) << 32 | (0xFFFFFFFF - np.arange(n, dtype=np.int64))
    if k < n:
        keys = np.partition(keys, n - k, axis=1)[:, n - k :]
    best = 0xFFFFFFFF - (np.sort(keys, axis=1)[:, ::-1] & 0xFFFFFFFF)
    best[np.take_along_axis(scores_BN, best, axis=1) == -np.inf] = -1
    padded = np.full((len(scores_BN), k), -1, dtype=np.int32)
    padded[:, : best.shape[1]] = best
    return padded


def _flat(histories: Histories) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, item and age (0 = the latest) of every purchase."""
    lengths = np.fromiter((len(h) for h in histories), dtype=np.int64, count=len(histories))
    filled = [np.asarray(h, dtype=np.int64) for h in histories if len(h)]
    items = np.concatenate(filled) if filled else np.empty(0, dtype=np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(lengths)
    return rows, items, (np.repeat(ends, lengths) - 1 - np.arange(len(items)))


def _check(items: NDArray[np.int64], n_items: int) -> None:
    if items.size and (items.min() < 0 or items.max() >= n_items):
        wrong = int(items.min() if items.min() < 0 else items.max())
        raise DataError(f"a history holds item index {wrong}; the catalogue has the indices 0 to {n_items - 1}")


def _blocks(n: int, rows: int) -> Iterator[slice]:
    return (slice(start, min(start + rows, n)) for start in range(0, n, max(rows, 1)))


class Popularity:
    """The most bought items, the same for everybody (less what the user has, where that is asked for)."""

    def __init__(self, histories: Histories, n_items: int) -> None:
        """Counts purchases, repeats included: ``counts`` is int64 ``(N,)``."""
        _, items, _ = _flat(histories)
        _check(items, n_items)
        self.counts = np.bincount(items, minlength=n_items)
        self.order = np.argsort(-self.counts, kind="stable").astype(np.int32)  # stable: ties by item index
        self.place = np.empty(n_items, dtype=np.int64)
        self.place[self.order] = np.arange(n_items)

    def top(self, histories: Histories, k: int, exclude_seen: bool) -> NDArray[np.int32]:
        """See ``Baseline``."""
        n = len(self.order)
        width = min(n, k + max((len(h) for h in histories), default=0)) if exclude_seen else min(n, k)
        answers = np.full((len(histories), k), -1, dtype=np.int32)
        for part in _blocks(len(histories), _BLOCK_SCORES // max(width, 1)):
            rows, items, _ = _flat(histories[part])
            _check(items, n)
            seen = np.zeros((len(histories[part]), width), dtype=bool)
            if exclude_seen:
                near = self.place[items] < width
                seen[rows[near], self.place[items[near]]] = True
            places = np.argsort(seen, axis=1, kind="stable")[:, :k]  # the unseen first, in order of popularity
            best = self.order[places]
            best[np.take_along_axis(seen, places, axis=1)] = -1
            answers[part, : best.shape[1]] = best
        return answers


class CoOccurrence:
    """Items bought near each other by the same users (item-to-item collaborative filtering; Sarwar et al., WWW 2001;
    Linden et al., IEEE Internet Computing 2003).

    ``count[i, j]`` adds, for every purchase of j that follows one of i by ``g <= window`` places, ``gap_decay ** (g - 1)``,
    and for every one that precedes it ``backward`` times as much. ``similarity = count / (n_i ** 0.5 * n_j ** discount)``,
    n being purchases. The score of item j for a history is the sum over its purchases i of
    ``decay ** age(i) * similarity[i, j]``, age 0 being the latest. An item of the history itself scores through its own
    repeat purchases alone: what goes with it says nothing about buying it again. Items with no score follow by popularity.

    ``window=0`` is the textbook form: count[i, j] is the number of users with both anywhere in their history
    (``count[i, i]``: who bought i twice or more), n the users who bought; with ``discount=0.5`` that is the cosine.

    The defaults were chosen on validation purchases of Amazon Beauty 2014 and Industrial 2018, never on a test purchase:
    Recall@10 .103 and .124, against .077 and .106 for the cosine over whole histories with a decay of 0.8.
    """

    def __init__(
        self,
        histories: Histories,
        n_items: int,
        *,
        window: int = 8,
        gap_decay: float = 0.7,
        backward: float = 0.5,
        discount: float = 0.2,
        decay: float = 0.7,
    ) -> None:
        """Count. Memory: the pairs that occur, 12 bytes each."""
        self.decay = decay
        self._popularity = Popularity(histories, n_items)
        rows, items, _ = _flat(histories)
        if window:
            n = self._popularity.counts.astype(np.float64)
            counts = self._count_windows(rows, items, n_items, window, gap_decay, backward)
        else:
            bought = sparse.csr_array((np.ones(len(items)), (rows, items)), shape=(len(histories), n_items))
            bought.sum_duplicates()
            twice = np.bincount(bought.indices[bought.data > 1], minlength=n_items).astype(np.float64)
            bought.data[:] = 1.0
            n = bought.sum(axis=0)
            counts = sparse.csr_array(bought.T @ bought)
            counts.setdiag(twice)
        n = np.maximum(n, 1.0)
        self.similarity = sparse.csr_array(sparse.diags_array(n**-0.5) @ counts @ sparse.diags_array(n**-discount))
        self.similarity.eliminate_zeros()
        self.similarity.sort_indices()

    @staticmethod
    def _count_windows(
        rows: NDArray[np.int64], items: NDArray[np.int64], n: int, window: int, gap_decay: float, backward: float
    ) -> sparse.csr_array:
        forward = sparse.csr_array((n, n), dtype=np.float64)
        for gap in range(1, window + 1):
            same = rows[gap:] == rows[:-gap]
            pairs = (items[:-gap][same], items[gap:][same])
            forward = forward + sparse.csr_array((np.full(len(pairs[0]), gap_decay ** (gap - 1)), pairs), shape=(n, n))
        counts = sparse.csr_array(forward + backward * forward.T)
        counts.data = np.round(counts.data, 9)  # sums in another order differ in the last bit: users' order must not count
        return counts

    def top(self, histories: Histories, k: int, exclude_seen: bool) -> NDArray[np.int32]:
        """See ``Baseline``."""
        n = self.similarity.shape[0]
        own = self.similarity.diagonal()
        # below every true score, and falling with popularity: the order of what nobody bought together
        fill = -1.0 - self._popularity.place.astype(np.float32)
        answers = np.full((len(histories), k), -1, dtype=np.int32)
        for part in _blocks(len(histories), _BLOCK_SCORES // max(n, 1)):
            rows, items, ages = _flat(histories[part])
            _check(items, n)
            shape = (len(histories[part]), n)
            weights = sparse.coo_array((self.decay ** ages.astype(np.float64), (rows, items)), shape=shape).tocsr()
            seen = weights.tocoo()
            dense = (weights @ self.similarity).toarray()
            dense[seen.coords] = seen.data * own[seen.coords[1]]
            dense = dense.astype(np.float32)
            scores = np.where(dense > 0, dense, fill)
            if exclude_seen:
                scores[seen.coords] = -np.inf
            answers[part] = top_k(scores, k)
        return answers


class NearestVectors:
    """Cosine between a query's vector and the items' text vectors."""

    def __init__(self, vectors_ND: NDArray[np.float32], *, decay: float = 0.7) -> None:
        """``vectors_ND``: float32, unit rows. ``decay`` weighs a history's items, as in ``CoOccurrence``.

        Raises:
            DataError: a vector holds NaN or infinity, which no ranking can order.
        """
        wrong = ~np.isfinite(vectors_ND).all(axis=1)
        if wrong.any():
            raise DataError(f"the vector of item index {int(wrong.argmax())} is not finite; run `sidrec embed` again")
        self._vectors = vectors_ND
        self._decay = decay

    def nearest(self, queries_BD: NDArray[np.float32], k: int) -> NDArray[np.int32]:
        """The k items nearest to each query vector (unit rows): int32 ``(B, k)``.

        Raises:
            DataError: the queries have another width than the items.
        """
        if queries_BD.ndim != 2 or queries_BD.shape[1] != self._vectors.shape[1]:
            raise DataError(f"query vectors must be B x {self._vectors.shape[1]}, found {queries_BD.shape}")
        answers = np.full((len(queries_BD), k), -1, dtype=np.int32)
        for part in _blocks(len(queries_BD), _BLOCK_SCORES // max(len(self._vectors), 1)):
            answers[part] = top_k(queries_BD[part] @ self._vectors.T, k)
        return answers

    def top(self, histories: Histories, k: int, exclude_seen: bool) -> NDArray[np.int32]:
        """The items nearest to the recency-weighted mean of a history's vectors; see ``Baseline``.

        Without ``exclude_seen`` the latest purchase itself is the nearest of all, which is right where purchases repeat.
        """
        n = len(self._vectors)
        answers = np.full((len(histories), k), -1, dtype=np.int32)
        for part in _blocks(len(histories), _BLOCK_SCORES // max(n, 1)):
            rows, items, ages = _flat(histories[part])
            _check(items, n)
            shape = (len(histories[part]), n)
            weights = sparse.csr_array((np.float32(self._decay) ** ages.astype(np.float32), (rows, items)), shape=shape)
            scores = np.asarray(weights @ self._vectors) @ self._vectors.T
            if exclude_seen:
                scores[rows, items] = -np.inf
            answers[part] = top_k(scores, k)
        return answers


def commonest_codes(
    codes_NL: NDArray[np.int32], weights_N: NDArray[np.int64], level: int = 0, n: int = 10
) -> NDArray[np.int32]:
    """The ``n`` commonest prefixes down to ``level`` (0: A alone): int32 ``(n or fewer, level + 1)``, commonest first.

    ``weights_N`` says how often each item counts, e.g. its purchases in training. Equal weights: the lower codes first.
    Prefixes of no weight are left out. The constant answer that a table of A-level hits must be read against.

    >>> commonest_codes(np.array([[5, 0], [7, 0], [7, 1], [9, 0]], dtype=np.int32), np.array([2, 1, 1, 0]), n=10).tolist()
    [[5], [7]]
    """
    prefixes, group_N = np.unique(codes_NL[:, : level + 1], axis=0, return_inverse=True)
    weights = np.bincount(group_N.ravel(), weights=weights_N, minlength=len(prefixes))
    order = np.argsort(-weights, kind="stable")[:n]
    return prefixes[order[weights[order] > 0]].astype(np.int32)
