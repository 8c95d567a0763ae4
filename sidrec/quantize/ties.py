"""The last level: a counter inside each group of items with the same learned codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.log import warn
from sidrec.quantize.checks import refuse_twice

Overflow = Literal["grow", "refuse"]
_HEADROOM = 0.25  # share of the largest group


def break_ties(
    learned_NL: NDArray[np.int32],
    item_ids: Sequence[str],
    tie_codes: int,
    late: NDArray[np.bool_] | None = None,
    overflow: Overflow = "grow",
) -> tuple[NDArray[np.int32], int]:
    """Unique codes int32 ``(N, L + 1)`` and the size of the new level.

    The counter runs in order of item id (as strings, by code point), never in row order, so that a catalogue exported in
    another order keeps its codes. Items marked ``late`` count behind the others of their group: they cannot move a code.
    The size is ``tie_codes``; where a group is larger, ``overflow`` decides: the level grows to it and a quarter more, with a
    warning, or the catalogue is refused. The quarter is for items that come later: the model's tokens are fixed by then.

    >>> codes, size = break_ties(np.array([[3], [3], [5]], np.int32), ["b", "a", "c"], 2)
    >>> codes.tolist(), size
    ([[3, 1], [3, 0], [5, 0]], 2)

    Raises:
        DataError: an item id stands twice: no order could be told between the two. Or a group is larger than ``tie_codes``
            and may not be.
    """
    refuse_twice(item_ids)
    levels = [f"level{i}" for i in range(learned_NL.shape[1])]
    frame = pl.DataFrame(
        {
            "id": pl.Series(item_ids, dtype=pl.String),
            "late": np.zeros(len(learned_NL), np.bool_) if late is None else late,
            **{name: np.ascontiguousarray(learned_NL[:, i]) for i, name in enumerate(levels)},
        }
    ).with_row_index("row")
    counted = frame.sort(*levels, "late", "id").with_columns(pl.int_range(pl.len()).over(levels).cast(pl.Int32).alias("tie"))
    ties = np.empty(len(learned_NL), dtype=np.int32)
    ties[counted["row"].to_numpy()] = counted["tie"].to_numpy()
    largest = int(ties.max()) + 1 if len(ties) else 0
    size = tie_codes
    if largest > tie_codes:
        size = largest + math.ceil(_HEADROOM * largest)
        _overflow(learned_NL, item_ids, ties, tie_codes, size, overflow)
    return np.column_stack((learned_NL, ties)).astype(np.int32), size


def _overflow(
    learned_NL: NDArray[np.int32],
    item_ids: Sequence[str],
    ties: NDArray[np.int32],
    tie_codes: int,
    size: int,
    overflow: Overflow,
) -> None:
    last = int(ties.argmax())
    group = learned_NL[last]
    first = int(np.flatnonzero((learned_NL == group).all(axis=1) & (ties == 0))[0])
    found = (
        f"{ties[last] + 1} items share the learned codes {group.tolist()} (item {item_ids[first]!r} is one of them), "
        f"but quantize.tie_codes is {tie_codes}"
    )
    cure = "give these items text that differs, let items move (quantize.collisions and collision_limit), or use larger levels"
    if overflow == "refuse":
        raise DataError(f"{found} and quantize.tie_overflow is 'refuse': {cure}, or raise quantize.tie_codes")
    warn(f"{found}: the tie level grows to {size} codes, each a token of the model; to avoid that, {cure}")
