"""Items that share the first codes: the groups of each depth, and how many share a whole code."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.types import ItemCodes

_SIZES = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 100), (101, None))


def prefix_groups(codes_NL: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """For each depth 1 to L the group of each item, int64 ``(N,)``: numbered from 0 in order of the prefix.

    >>> [groups.tolist() for groups in prefix_groups(np.array([[7, 1], [3, 5], [7, 0], [7, 1]], np.int32))]
    [[1, 0, 1, 1], [2, 0, 1, 2]]
    """
    return list(_depths(codes_NL))


def group_ids(codes_NL: NDArray[np.int32]) -> NDArray[np.int64]:
    """The last of ``prefix_groups``, without the others in memory; all in group 0 where there are no levels.

    >>> group_ids(np.array([[7, 1], [0, 5], [7, 1]], np.int32)).tolist()
    [1, 0, 1]
    """
    last = deque(_depths(codes_NL), maxlen=1)
    return last[0] if last else np.zeros(len(codes_NL), dtype=np.int64)


def _depths(codes_NL: NDArray[np.int32]) -> Iterator[NDArray[np.int64]]:
    groups = np.zeros(len(codes_NL), dtype=np.int64)
    for level in range(codes_NL.shape[1]):
        codes = codes_NL[:, level]
        # A number a prefix, small again at each depth: the product of all sizes may not fit 64 bits.
        groups = np.unique(groups * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1].ravel()
        yield groups


def uniqueness(learned_NL: NDArray[np.int32], histories: Sequence[NDArray[np.int32]]) -> dict[str, Any]:
    """How many items have a learned code of their own (see ``health``)."""
    groups = np.bincount(group_ids(learned_NL))
    tied = items_a_code(learned_NL) > 1
    purchases = np.concatenate([np.empty(0, np.int32), *histories])
    return {
        "unique_share": round(float((~tied).mean()), 6),
        "distinct_share": round(len(groups) / len(learned_NL), 6),
        "largest_group": int(groups.max()),
        "tied_items": int(tied.sum()),
        "tied_purchases_share": round(float(tied[purchases].mean()), 6) if len(purchases) else 0.0,
    }


def items_a_code(learned_NL: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each item how many items have its learned code, itself counted: int64 ``(N,)``."""
    groups = group_ids(learned_NL)
    return np.bincount(groups).astype(np.int64)[groups]


def group_sizes(learned_NL: NDArray[np.int32]) -> list[dict[str, Any]]:
    """Codes and items by how many items share a code; sizes that do not occur are left out."""
    shared_by = items_a_code(learned_NL)
    rows = []
    for low, high in _SIZES:
        inside = (shared_by >= low) & (shared_by <= (high or len(shared_by)))
        if inside.any():
            named = f"{low}" if low == high else f"{low} to {high}" if high else f"{low} or more"
            codes = round(float((1 / shared_by[inside]).sum()))
            rows.append({"items_a_code": named, "codes": codes, "items": int(inside.sum())})
    return rows


def usage(codes: ItemCodes) -> list[NDArray[np.int64]]:
    """Items that use each code, a level: int64 ``(size,)`` each."""
    return [np.bincount(codes.codes[:, level], minlength=size) for level, size in enumerate(codes.sizes)]


def perplexity(codes: NDArray[np.int32], size: int) -> float:
    """Exponential of the entropy of a level's usage: ``size`` where all codes are used alike, 1 where one is.

    >>> round(perplexity(np.array([0, 0, 1, 1], np.int32), 8), 3)
    2.0
    """
    shares = np.bincount(codes, minlength=size) / len(codes)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
