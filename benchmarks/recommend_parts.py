"""What the decoding benchmarks share: random models and catalogues, clocks, and the kernel's account of memory."""

from __future__ import annotations

import ctypes
import gc
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from sidrec.types import ItemCodes
from sidrec.vocabulary import SidVocabulary

SIZES = (256, 256, 256, 256)
WORDS = 151_669  # Qwen3's own tokens


def random_codes(n: int, skew: float = 2.5) -> NDArray[np.int32]:
    """Codes made unique by a last level that counts within each group; ``skew`` 1 is even."""
    rng = np.random.default_rng(0)
    learned = (256 * rng.random((n, 3)) ** skew).astype(np.int64)
    weight = np.array([1 << 16, 1 << 8, 1])
    while True:
        key = learned @ weight
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        tie = np.empty(n, dtype=np.int64)
        tie[order] = np.arange(n) - np.repeat(starts, np.diff(starts, append=n))
        full = np.flatnonzero(tie >= 256)  # no room in the last level: these move elsewhere
        if not full.size:
            return np.column_stack((learned, tie)).astype(np.int32)
        learned[full] = rng.integers(0, 256, (full.size, 3))


def random_qwen3(rows: int, hidden: int, layers: int, heads: int, head_dim: int) -> PreTrainedModel:
    """float32 with tied embeddings and half as many groups of keys as heads."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=rows, hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads // 2, head_dim=head_dim, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def prefix_map(codes: ItemCodes, vocabulary: SidVocabulary) -> dict[tuple[int, ...], list[int]]:
    """The Python prefix map of published systems: allowed tokens behind each prefix of tokens."""
    children: dict[tuple[int, ...], set[int]] = {}
    for row in vocabulary.ids(codes.codes)[:, 1:-1].tolist():
        for level in range(codes.levels):
            children.setdefault(tuple(row[:level]), set()).add(row[level])
    return {prefix: sorted(tokens) for prefix, tokens in children.items()}


def seconds(systems: dict[str, Callable[[], object]], repeats: dict[str, int], clock: Callable[[], float]) -> dict[str, float]:
    """Median seconds of each, taking turns; each runs once before, unless it is to run only once."""
    taken: dict[str, list[float]] = {name: [] for name in systems}
    for name, system in systems.items():
        if repeats[name] > 1:
            system()
    for turn in range(max(repeats.values())):
        for name, system in systems.items():
            if turn < repeats[name]:
                began = clock()
                system()
                taken[name].append(clock() - began)
    return {name: statistics.median(values) for name, values in taken.items()}


def resident_mb() -> float:
    """What the process holds, free memory given back first; 0 where the system does not tell."""
    return _account("VmRSS") or 0.0


def peak_mb(system: Callable[[], object]) -> float | None:
    """The most that one call takes beyond what is held before; ``None`` where the system does not tell."""
    before = _account("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # the high-water mark starts anew
    except OSError:
        return None
    system()
    after = _account("VmHWM", tidy=False)
    return None if before is None or after is None else after - before


def _account(field: str, tidy: bool = True) -> float | None:
    try:
        if tidy:
            gc.collect()
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith(field)), None)
