"""Residual k-means on vectors mapped from disk, in a process of its own: ``bench_codes.py --million`` reads its one line.

    python benchmarks/bench_codes_million.py VECTORS.safetensors THREADS

Prints JSON: seconds of fit and encode (process CPU time on one thread, wall time on more), the process's peak memory, and
the mean squared residual.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

WIDTH, BLOCK = 384, 50_000


def write(folder: Path, rows: int) -> None:
    """``vectors.safetensors``: unit rows in 20,000 kinds of falling size, a tenth of them near-copies of the row before."""
    rng = np.random.default_rng(0)
    scale = (1 / np.sqrt(1 + np.arange(WIDTH))).astype(np.float32)
    kinds = rng.standard_normal((20_000, WIDTH), dtype=np.float32)
    shares = 1 / np.arange(10, 20_010)
    vectors = np.empty((rows, WIDTH), np.float32)
    for start in range(0, rows, BLOCK):
        block = vectors[start : start + BLOCK]
        block[:] = kinds[rng.choice(20_000, len(block), p=shares / shares.sum())]
        block += rng.standard_normal(block.shape, dtype=np.float32)
        copies = rng.choice(len(block) - 1, len(block) // 10, replace=False)
        block[copies + 1] = block[copies] + 0.05 * rng.standard_normal((len(copies), WIDTH), dtype=np.float32)
        block *= scale
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    save_file({"vectors": vectors}, folder / "vectors.safetensors")


def measure(folder: Path, threads: int) -> dict[str, float]:
    from threadpoolctl import threadpool_limits

    from sidrec import storage
    from sidrec.config import QuantizeConfig
    from sidrec.quantize import ResidualKMeans

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0  # kilobytes on Linux

    clock = time.process_time if threads == 1 else time.perf_counter
    with threadpool_limits(threads):
        before = peak()
        vectors: NDArray[np.float32] = storage.load_vectors(folder).vectors
        config, began = QuantizeConfig(), clock()
        quantizer = ResidualKMeans.fit(vectors, config.levels, 0, config.iterations, config.tolerance)
        fitted, fit_peak = clock(), peak()
        codes = quantizer.encode(vectors)
        encoded = clock()
        away = [
            ((vectors[i : i + BLOCK] - quantizer.decode(codes[i : i + BLOCK])) ** 2).sum() for i in range(0, len(codes), BLOCK)
        ]
    return {
        "fit": fitted - began,
        "encode": encoded - fitted,
        "before": before,
        "peak": fit_peak,
        "bytes": float(vectors.nbytes),
        "residual": float(sum(away)) / len(codes),
        "distinct": len(np.unique(codes @ np.array([1 << 16, 1 << 8, 1]))) / len(codes),
    }


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
