"""Draws that depend on an id and the seed, never on the order of rows: a re-exported table draws the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def place(seed: int, texts: Iterable[str], purpose: str = "") -> NDArray[np.float64]:
    """A number in [0, 1) for each text, from SHA-256 of ``"{seed}:{purpose}{text}"``.

    >>> place(0, ["B001", "B002"]).round(3).tolist() == place(0, ["B002", "B001"])[::-1].round(3).tolist()
    True
    """
    head = f"{seed}:{purpose}"
    words = b"".join(hashlib.sha256((head + text).encode()).digest()[:8] for text in texts)
    return (np.frombuffer(words, dtype=">u8") >> np.uint64(11)).astype(np.float64) / 2.0**53
