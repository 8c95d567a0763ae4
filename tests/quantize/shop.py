"""A small catalogue with structure: kinds of items, variants of each, and customers who stay with a kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sidrec.types import ItemVectors


def make_shop(
    kinds: int = 8, variants: int = 12, width: int = 24, users: int = 200, seed: int = 0
) -> tuple[ItemVectors, list[str], NDArray[np.bool_], list[NDArray[np.int32]]]:
    """Vectors, item ids, cold marks (the last item of each kind) and histories of four purchases of one kind each."""
    rng = np.random.default_rng(seed)
    n = kinds * variants
    centres = np.repeat(rng.standard_normal((kinds, width)), variants, axis=0)
    rows = centres + 0.3 * rng.standard_normal((n, width))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cold = np.arange(n) % variants == variants - 1
    histories = [(rng.integers(kinds) * variants + rng.permutation(variants)[:4]).astype(np.int32) for _ in range(users)]
    return ItemVectors(rows.astype(np.float32)), [f"P{i:03}" for i in range(n)], cold, histories
