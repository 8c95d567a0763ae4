"""How good the codes are, before any training: the figures. ``page.py`` shows them, ``gate.py`` judges them."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.quantize.agreement import neighbour_overlap, purity
from sidrec.quantize.kmeans import blocks
from sidrec.quantize.prefixes import group_sizes, items_a_code, perplexity, prefix_groups, uniqueness
from sidrec.types import ItemCodes, Quantizer

_EXAMPLES = 5  # groups of identical vectors that are named
_IDS = 4  # item ids of each


def health(
    text: NDArray[np.float32],
    fused: NDArray[np.float32],
    quantizer: Quantizer,
    codes: ItemCodes,
    histories: Sequence[NDArray[np.int32]],
    encoded: NDArray[np.int32] | None = None,
    item_ids: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """What ``health.json`` holds; shares are between 0 and 1, counts are items; rounded to six digits.

    ``text`` and ``fused`` are float32 ``(N, D)`` and ``(N, E)``: the text vectors, and what the quantizer was given.
    ``encoded`` are its codes before colliding items were moved; ``categories`` one name an item, ``""`` where unknown.

    - ``unique_share``: items whose learned code no other item has; ``distinct_share``: learned codes in use, an item
      (the figure that papers call uniqueness: of two items with one code it counts one).
    - ``largest_group``, ``tied_items``, ``tie_codes``: what the tie level had to do (0 codes where there is none).
    - ``tied_purchases_share``: of the purchases in ``histories``, those of items that share their learned code.
    - ``duplicate_vectors``: items whose text vector another item has too, the first not counted: the text cannot part them;
      ``duplicate_items`` counts the first as well, and ``duplicate_examples`` names some by item id, the largest groups first.
      ``unique_share_where_text_differs``: ``unique_share`` among the other items alone.
    - ``moved_items``, ``collisions``: items whose code was moved off another's, and the figures without and with the move.
    - ``spread``: mean squared distance of the quantized vectors from their mean; what the residuals start from.
    - ``neighbours``: how many of an item's nearest stay its nearest by code (``neighbour_overlap``).
    - ``levels``, the tie level last: ``size``, ``used`` codes, ``perplexity`` (the exponential of the usage's entropy: the
      size where all are used alike), and of learned levels ``residual``, the mean squared error up to that level; ``open``,
      items that still share all codes before the level (identical vectors counted once), which it has to part, and
      ``open_perplexity`` among them.
    - ``prefixes``, A, AB, ABC...: prefixes in use, the items of the ``largest``, and, where items have categories,
      ``purity`` beside ``chance`` (see ``purity``).
    - ``group_sizes``: codes and items by how many items share a learned code.

    The same input and seed give the same figures.
    """
    learned = codes.learned
    names = [ascii_uppercase[: depth + 1] for depth in range(learned.shape[1])]
    residuals = _errors(fused, quantizer, learned)
    twins, twin_examples = duplicates(text, item_ids)
    alone = ~twins
    left = _left_to_part(fused, learned, codes.sizes)
    pure = purity(learned, categories, seed) if categories is not None else []
    return {
        "items": codes.n_items,
        **uniqueness(learned, histories),
        "tie_codes": codes.sizes[-1] if codes.tie_level else 0,
        "unique_share_where_text_differs": round(float((items_a_code(learned) == 1)[alone].mean()), 6) if alone.any() else 0.0,
        "duplicate_vectors": duplicate_rows(text),
        "duplicate_items": int(twins.sum()),
        "duplicate_examples": twin_examples,
        **_collisions(fused, quantizer, learned, encoded, histories, residuals),
        "spread": round(_spread(fused), 6),
        "neighbours": neighbour_overlap(text, fused, quantizer, learned, seed),
        "levels": [
            {
                "level": ascii_uppercase[level],
                "size": size,
                "used": len(np.unique(codes.codes[:, level])),
                "perplexity": round(perplexity(codes.codes[:, level], size), 3),
                **({"residual": round(residuals[level], 6), **left[level]} if level < len(residuals) else {}),
            }
            for level, size in enumerate(codes.sizes)
        ],
        "prefixes": [
            {
                "prefix": name,
                "in_use": int(groups.max()) + 1,
                "largest": int(np.bincount(groups).max()),
                **(pure[depth] if pure else {}),
            }
            for depth, (name, groups) in enumerate(zip(names, prefix_groups(learned), strict=True))
        ],
        "group_sizes": group_sizes(learned),
    }


def duplicate_rows(vectors: NDArray[np.float32]) -> int:
    """How many rows equal an earlier one, bit for bit.

    >>> duplicate_rows(np.array([[1, 2], [1, 2], [2, 1], [1, 2]], np.float32))
    2
    """
    prints = _prints(vectors)
    return len(prints) - len(np.unique(prints))


def duplicates(vectors: NDArray[np.float32], item_ids: Sequence[str] | None) -> tuple[NDArray[np.bool_], list[list[str]]]:
    """Rows that are not alone with their vector, bool ``(N,)``; and item ids of the largest such groups.

    >>> rows = np.array([[1, 2], [1, 2], [2, 1], [1, 2]], np.float32)
    >>> [part if isinstance(part, list) else part.tolist() for part in duplicates(rows, ["d", "b", "c", "a"])]
    [[True, True, False, True], [['a', 'b', 'd']]]
    """
    _, group, counts = np.unique(_prints(vectors), return_inverse=True, return_counts=True)
    group = group.ravel()
    twins = counts[group] > 1
    if item_ids is None:
        return twins, []
    members: dict[int, list[str]] = {}
    for row in np.flatnonzero(twins).tolist():
        members.setdefault(int(group[row]), []).append(item_ids[row])
    named = sorted((sorted(ids) for ids in members.values()), key=lambda ids: (-len(ids), ids))
    return twins, [ids[:_IDS] for ids in named[:_EXAMPLES]]


def _prints(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    # A 64-bit fingerprint of each row's bits: sorting whole rows of a million items would copy gigabytes.
    factors = np.random.default_rng(0).integers(1, 2**63, vectors.shape[1], dtype=np.uint64) * 2 + 1
    prints = np.empty(len(vectors), dtype=np.uint64)
    for part in blocks(len(vectors), max(1, vectors.shape[1])):
        bits = np.ascontiguousarray(vectors[part]).view(np.uint32).astype(np.uint64)
        prints[part] = (bits * factors).sum(axis=1, dtype=np.uint64)
    return prints


def _collisions(
    fused: NDArray[np.float32],
    quantizer: Quantizer,
    learned: NDArray[np.int32],
    encoded: NDArray[np.int32] | None,
    histories: Sequence[NDArray[np.int32]],
    residuals: Sequence[float],
) -> dict[str, Any]:
    """What moving colliding items has changed; nothing where none was moved."""
    if encoded is None or not (moved := (encoded != learned).any(axis=1)).any():
        return {"moved_items": 0}
    before = {
        "moving": "without",
        **uniqueness(encoded, histories),
        "residual": round(_errors(fused, quantizer, encoded)[-1], 6),
    }
    after = {"moving": "with", **uniqueness(learned, histories), "residual": round(residuals[-1], 6)}
    return {"moved_items": int(moved.sum()), "collisions": [before, after]}


def _left_to_part(fused: NDArray[np.float32], learned: NDArray[np.int32], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """``open`` and ``open_perplexity`` of each level, see ``health``."""
    _, first = np.unique(_prints(fused), return_index=True)
    distinct = learned[np.sort(first)]
    before = [np.zeros(len(distinct), dtype=np.int64), *prefix_groups(distinct)[:-1]]
    rows = []
    for level, groups in enumerate(before):
        among = distinct[np.bincount(groups)[groups] > 1, level]
        found = round(perplexity(among, sizes[level]), 3) if len(among) else 0.0
        rows.append({"open": len(among), "open_perplexity": found})
    return rows


def _spread(vectors: NDArray[np.float32]) -> float:
    """Mean squared distance from the mean."""
    mean = np.zeros(vectors.shape[1])
    for part in blocks(len(vectors), max(1, vectors.shape[1])):
        mean += vectors[part].sum(axis=0, dtype=np.float64)
    mean /= len(vectors)
    total = 0.0
    for part in blocks(len(vectors), max(1, vectors.shape[1])):
        away = vectors[part] - mean
        total += float(np.einsum("nd,nd->", away, away))
    return total / len(vectors)


def _errors(vectors: NDArray[np.float32], quantizer: Quantizer, learned: NDArray[np.int32]) -> list[float]:
    """Mean squared error of what the first 1, 2... codes decode to."""
    totals = np.zeros(learned.shape[1])
    for part in blocks(len(vectors), max(1, vectors.shape[1])):
        for level in range(len(totals)):
            away = vectors[part] - quantizer.decode(learned[part, : level + 1])
            totals[level] += np.einsum("nd,nd->", away, away, dtype=np.float64)
    return [float(total) / len(vectors) for total in totals]
