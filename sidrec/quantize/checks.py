"""What no method can work with, said once: an item that stands twice, a vector that says nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.quantize.kmeans import blocks


def refuse_twice(item_ids: Sequence[str]) -> None:
    """Raises DataError where an item id stands twice."""
    if len(set(item_ids)) < len(item_ids):
        seen: set[str] = set()
        for row, item_id in enumerate(item_ids):
            if item_id in seen:
                raise DataError(f"the item id {item_id!r} stands twice (again in row {row}): item ids must be unique")
            seen.add(item_id)


def refuse_empty(vectors: NDArray[np.float32], item_ids: Sequence[str], cure: str) -> None:
    """Raises DataError where a row of float32 ``(N, D)`` is zero or not finite, names its item, and ends with ``cure``."""
    parts = blocks(len(vectors), max(1, vectors.shape[1]))
    norms = np.concatenate([np.empty(0, np.float32), *(np.linalg.norm(vectors[part], axis=1) for part in parts)])
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        row = int(bad[0])
        what = "is zero" if norms[row] == 0 else "holds a value that is not finite"
        more = f" ({len(bad) - 1} more are like it)" if len(bad) > 1 else ""
        raise DataError(f"the vector of item {item_ids[row]!r} (row {row}) {what}{more}: {cure}")
