"""How good the codes are, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.quantize.kmeans import blocks
from sidrec.types import ItemCodes, Quantizer


def health(
    text: NDArray[np.float32],
    fused: NDArray[np.float32],
    quantizer: Quantizer,
    codes: ItemCodes,
    histories: Sequence[NDArray[np.int32]],
) -> dict[str, Any]:
    """What ``health.json`` holds; shares are between 0 and 1, counts are items.

    - ``unique_share``: items whose learned code no other item has; ``distinct_share``: learned codes in use, an item
      (the figure that papers call uniqueness: of two items with one code it counts one).
    - ``largest_group``, ``tied_items``, ``tie_codes``: what the tie level had to do.
    - ``tied_purchases_share``: of the purchases in ``histories``, those of items that share their learned code.
    - ``duplicate_vectors``: items whose text vector another item has too, the first not counted: no code can part them.
    - ``spread``: mean squared distance of the quantized vectors from their mean; what the residuals start from.
    - ``levels``, the tie level last: ``size``, ``used`` codes, ``perplexity`` (the exponential of the usage's entropy: the
      size where all are used alike), and of learned levels ``residual``, the mean squared error up to that level.
    """
    learned = codes.learned
    _, group, group_sizes = np.unique(learned, axis=0, return_inverse=True, return_counts=True)
    size_of_item = group_sizes[group.ravel()]
    purchases = np.concatenate([np.empty(0, np.int32), *histories])
    tied = size_of_item > 1
    spread, *residuals = _errors(fused, quantizer, learned)
    return {
        "items": codes.n_items,
        "unique_share": round(float((~tied).mean()), 6),
        "distinct_share": round(len(group_sizes) / codes.n_items, 6),
        "largest_group": int(group_sizes.max()),
        "tied_items": int(tied.sum()),
        "tie_codes": codes.sizes[-1] if codes.tie_level else 0,
        "tied_purchases_share": round(float(tied[purchases].mean()), 6) if len(purchases) else 0.0,
        "duplicate_vectors": duplicate_rows(text),
        "spread": round(spread, 6),
        "levels": [
            {
                "level": ascii_uppercase[level],
                "size": size,
                **_usage(codes.codes[:, level], size),
                **({"residual": round(residuals[level], 6)} if level < len(residuals) else {}),
            }
            for level, size in enumerate(codes.sizes)
        ],
    }


def duplicate_rows(vectors: NDArray[np.float32]) -> int:
    """How many rows equal an earlier one, bit for bit.

    >>> duplicate_rows(np.array([[1, 2], [1, 2], [2, 1], [1, 2]], np.float32))
    2
    """
    # A 64-bit fingerprint of each row's bits: sorting whole rows of a million items would copy gigabytes.
    factors = np.random.default_rng(0).integers(1, 2**63, vectors.shape[1], dtype=np.uint64) * 2 + 1
    prints = np.empty(len(vectors), dtype=np.uint64)
    for part in blocks(len(vectors), max(1, vectors.shape[1])):
        bits = np.ascontiguousarray(vectors[part]).view(np.uint32).astype(np.uint64)
        prints[part] = (bits * factors).sum(axis=1, dtype=np.uint64)
    return len(prints) - len(np.unique(prints))


def perplexity(codes: NDArray[np.int32], size: int) -> float:
    """Exponential of the entropy of a level's usage.

    >>> round(perplexity(np.array([0, 0, 1, 1], np.int32), 8), 3)
    2.0
    """
    shares = np.bincount(codes, minlength=size) / len(codes)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _usage(codes: NDArray[np.int32], size: int) -> dict[str, Any]:
    return {"used": len(np.unique(codes)), "perplexity": round(perplexity(codes, size), 3)}


def _errors(vectors: NDArray[np.float32], quantizer: Quantizer, learned: NDArray[np.int32]) -> list[float]:
    """Mean squared distance from what no code decodes to, then the mean squared residual after each level."""
    totals = np.zeros(1 + learned.shape[1])
    for part in blocks(len(vectors), max(quantizer.sizes)):
        for level in range(len(totals)):
            residual = vectors[part] - quantizer.decode(learned[part, :level])
            totals[level] += np.einsum("nd,nd->", residual, residual, dtype=np.float64)
    return [float(total) / len(vectors) for total in totals]
