"""What a method of learning codes is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sidrec.config import QuantizeConfig
from sidrec.types import Quantizer


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What may be learned from.

    ``vectors`` float32 ``(N, D)`` are all items' (perhaps mapped from disk: never copy them whole); ``rows`` int64 ``(M,)``,
    rising, are those that may be learned from, the warm ones; ``histories`` hold item indices (rows of ``vectors``) of
    training purchases, cold items left out. ``workspace`` is a folder for what a killed fit goes on from, if there is one.
    """

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    histories: Sequence[NDArray[np.int32]]
    seed: int
    workspace: Path | None = None


Method = Callable[[Lesson, QuantizeConfig], Quantizer]
"""Learns a frozen quantizer; the same lesson and config give the same bytes on a CPU."""
