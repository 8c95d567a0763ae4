"""Do the codes follow the vectors, and the shop's own categories?

Neighbour overlap: of an item's k nearest by vector, the share that are also among its k nearest by what its code decodes to,
averaged over items: the agreement of K-ary neighbourhoods, Q_NX(k), of Lee & Verleysen 2009. Nearest by Euclidean distance,
the item itself left out; items with one code decode alike, and whom of them counts as nearer is drawn by the seed.
Purity: Manning, Raghavan & Schuetze 2008, section 16.3, beside what groups of the same sizes filled by chance would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.quantize.neighbours import exact_neighbours
from sidrec.quantize.prefixes import prefix_groups
from sidrec.types import Quantizer

CUTOFFS = (5, 10)
_QUERIES = 2_000
_FEWEST_QUERIES = 200
_PAIRS = 100_000_000  # about so many distances a search: two seconds at width 384, however large the catalogue
_CELLS = 1 << 23  # of them held at once: 32 MB
_SHUFFLES = 5

Rows = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def neighbour_overlap(
    text_ND: NDArray[np.float32],
    fused_NE: NDArray[np.float32],
    quantizer: Quantizer,
    learned_NL: NDArray[np.int32],
    seed: int,
) -> dict[str, Any]:
    """``overlap@5`` and ``overlap@10`` between codes and the vectors that the quantizer was given, on ``queries`` items.

    Where these hold more than the text vectors, ``text_overlap@k`` says the same of the text alone; ``chance@k`` is what
    codes given out blindly would have. Empty where there are too few items to have ``k`` neighbours. Up to 2,000 items are
    drawn by the seed, fewer in a large catalogue (1,000 of 100,000), so that the time stays at seconds; the search is exact.
    """
    n = len(learned_NL)
    cutoffs = [k for k in CUTOFFS if k < n]
    if not cutoffs:
        return {}
    rng = np.random.default_rng([seed, *b"quantize.agreement"])
    queries = np.sort(rng.permutation(n)[: min(_QUERIES, max(_FEWEST_QUERIES, _PAIRS // n))])
    order = rng.permutation(n)

    def nearest(rows: Rows) -> NDArray[np.int64]:
        return _nearest(rows, queries, order, max(cutoffs))

    coded = nearest(lambda items: quantizer.decode(learned_NL[items]))
    found: dict[str, Any] = {"queries": len(queries)}
    given = nearest(lambda items: fused_NE[items])
    found |= {f"overlap@{k}": _overlap(given, coded, k) for k in cutoffs}
    if fused_NE is not text_ND:
        written = nearest(lambda items: text_ND[items])
        found |= {f"text_overlap@{k}": _overlap(written, coded, k) for k in cutoffs}
    return found | {f"chance@{k}": round(k / (n - 1), 6) for k in cutoffs}


def _nearest(rows: Rows, queries_Q: NDArray[np.int64], order_N: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The ``k`` nearest items of each query; the base is read in the order ``order_N``, which decides between equals."""
    step = max(1, _CELLS // len(queries_Q))

    def base() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        for start in range(0, len(order_N), step):
            items = order_N[start : start + step]
            block = rows(items)
            half = np.einsum("nd,nd->n", block, block) / 2
            yield np.arange(start, start + len(items)), np.column_stack((block, -half))

    place = np.empty_like(order_N)
    place[order_N] = np.arange(len(order_N))
    # |q - b|^2 is least where q.b - |b|^2 / 2 is largest: one column more, and it is an inner product.
    asked = np.column_stack((rows(queries_Q), np.ones(len(queries_Q), dtype=np.float32)))
    return order_N[exact_neighbours(asked, base(), place[queries_Q], k)]


def _overlap(first_QK: NDArray[np.int64], second_QK: NDArray[np.int64], k: int) -> float:
    same = (first_QK[:, :k, None] == second_QK[:, None, :k]).any(axis=2)
    return round(float(same.mean()), 6)


def purity(learned_NL: NDArray[np.int32], categories: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """For each prefix length: ``purity``, the share of items in the commonest category of their prefix, and ``chance``.

    ``chance`` is the mean purity of five shuffles of the categories: short groups are pure by themselves. Items without a
    category (``""``) are left out; the list is empty where fewer than two categories remain.
    """
    named = np.array([bool(category) for category in categories], dtype=np.bool_)
    names, kind = np.unique(np.asarray(categories, dtype=object)[named].astype(str), return_inverse=True)
    if len(names) < 2:
        return []
    kind = kind.ravel().astype(np.int64)
    rng = np.random.default_rng([seed, *b"quantize.purity"])
    shuffles = [rng.permutation(kind) for _ in range(_SHUFFLES)]
    rows = []
    for groups in prefix_groups(learned_NL[named]):
        chance = float(np.mean([_majority(groups, shuffled, len(names)) for shuffled in shuffles]))
        rows.append({"purity": round(_majority(groups, kind, len(names)), 6), "chance": round(chance, 6)})
    return rows


def _majority(groups: NDArray[np.int64], kind: NDArray[np.int64], kinds: int) -> float:
    pairs, counts = np.unique(groups * kinds + kind, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs // kinds, prepend=-1))
    return float(np.maximum.reduceat(counts, starts).sum()) / len(groups)
