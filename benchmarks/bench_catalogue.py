"""The life of a large catalogue: what an add, a retirement and a look at it cost, and what the pure steps cost at a million.

    python benchmarks/bench_catalogue.py [--quick] [--json FILE]

A made-up shop of random words in 200 kinds, TF-IDF vectors of width 128 with co-purchase of width 64 beside them, 3 x 256 codes
and a tie level of 256. Seconds are CPU time of the process; bytes are those of the folders. The first build is timed too, to
say what is saved. With `--quick` the catalogue is a twentieth.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sidrec import pipeline
from sidrec.catalogue import grow
from sidrec.catalogue.drifting import measure_drift
from sidrec.catalogue.live import open_catalogue
from sidrec.configfile import parse_config
from sidrec.quantize import Registry, compare, seat
from sidrec.types import ItemCodes

SIZES = (256, 256, 256, 256)
KINDS, WORDS = 200, 5000


def random_items(n: int, first: int, seed: int) -> pl.DataFrame:
    """Each item's title is eight words of its kind's forty."""
    draw = np.random.default_rng(seed)
    letters = np.array(list("abcdefghiklmnoprstuvwy"))
    words = np.array(["".join(row) for row in letters[np.random.default_rng(0).integers(22, size=(WORDS, 6))]])
    kinds = np.random.default_rng(1).integers(WORDS, size=(KINDS, 40))
    kind = draw.integers(KINDS, size=n)
    chosen = words[kinds[kind[:, None], draw.integers(40, size=(n, 8))]]
    return pl.DataFrame(
        {
            "item_id": [f"P{first + i:08}" for i in range(n)],
            "title": [" ".join(row) for row in chosen.tolist()],
            "category": [f"kind {k}" for k in kind.tolist()],
            "price": draw.random(n).round(2),
        }
    )


def make_run(folder: Path, n: int) -> pipeline.Run:
    """The first three stages of a run of ``n`` items and a quarter as many customers."""
    draw = np.random.default_rng(2)
    random_items(n, 0, 3).write_parquet(folder / "items.parquet")
    users = np.repeat(np.arange(n // 4), 6)
    ids = pl.Series(draw.integers(n, size=len(users))).cast(pl.String).str.zfill(8)
    pl.DataFrame({"user_id": users, "item_id": "P" + ids, "timestamp": np.arange(len(users))}).write_parquet(
        folder / "interactions.parquet"
    )
    table: dict[str, Any] = {
        "ingest": {
            "source": "tables",
            "tables": {
                "folder": str(folder), "items": "items.parquet", "interactions": "interactions.parquet",
                "columns": {"category": "category", "price": "price"},
            },
        },
        "quantize": {"behaviour_weight": 1.0},
    }  # fmt: skip
    run = pipeline.Run(folder / "run", parse_config(table))
    for stage in (pipeline.ingest, pipeline.embed, pipeline.quantize):
        stage(run)
    return run


class Bench:
    """Collects rows of ``--json``."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def note(self, name: str, value: float, unit: str, goal: float | None = None) -> None:
        met = None if goal is None else value <= goal
        self.rows.append({"name": name, "value": round(value, 4), "unit": unit, "goal": goal, "met": met})
        print(
            f"{name:<64}{value:>12,.3f} {unit}" + ("" if goal is None else f"  (goal {goal:g}: {'met' if met else 'MISSED'})")
        )

    def timed(self, name: str, work: Callable[[], Any], goal: float | None = None) -> Any:
        began = time.process_time()
        result = work()
        self.note(name, time.process_time() - began, "CPU s", goal)
        return result

    def catalogue(self, folder: Path, n: int) -> None:
        run = self.timed(f"{n:,} items: ingest, embed and quantize", lambda: make_run(folder, n))
        self.timed(f"{n:,} items: open the catalogue", lambda: open_catalogue(run))
        new = random_items(1000, n, 5)
        new.write_parquet(folder / "new.parquet")
        done = self.timed(f"{n:,} items: codes add, 1,000 new items", lambda: grow.add(run, folder / "new.parquet"), goal=60)
        assert done.new == 1000
        size = sum(path.stat().st_size for path in open_catalogue(run).folder.iterdir())
        self.note(f"{n:,} items: a version of the live catalogue", size / 2**20, "MiB")
        size = (run.folder("quantize") / "fusion.safetensors").stat().st_size
        self.note(f"{n:,} items: the frozen fusion", size / 2**20, "MiB")
        self.timed(f"{n:,} items: codes add, 1 new item", lambda: self.add_one(run, folder, n + 1000))
        self.timed(f"{n:,} items: codes retire, 1,000 items", lambda: grow.retire(run, new["item_id"].to_list()))
        found = self.timed(f"{n:,} items: codes drift", lambda: measure_drift(run, None))
        self.note(f"{n:,} items: error of new items over that of cold ones", found.figures["error"]["ratio"], "x")

    def add_one(self, run: pipeline.Run, folder: Path, at: int) -> None:
        random_items(1, at, 6).write_parquet(folder / "one.parquet")
        grow.add(run, folder / "one.parquet")

    def pure(self, n: int) -> None:
        draw = np.random.default_rng(0)
        learned = draw.integers(256, size=(n + 1000, 3)).astype(np.int32)
        ids = [f"P{i:08}" for i in range(n + 1000)]
        none: tuple[list[int], int] = ([], 0)
        codes = self.timed(f"{n:,} items: a seat for each", lambda: seat(
            np.empty((0, 4), np.int32), learned[:n], 256, lambda row: none, ids[:n]))  # fmt: skip
        registry = Registry.first(ids[:n], ItemCodes(codes, SIZES), ["0" * 16] * n, 0.1)
        more = self.timed(f"{n:,} items: seats for 1,000 more", lambda: seat(
            registry.codes, learned[n:], 256, lambda row: none, ids[n:]))  # fmt: skip
        texts, new = ["0" * 16] * (n + 1000), list(range(n, n + 1000))
        grown = self.timed(f"{n:,} items: the next registry", lambda: registry.with_catalogue(ids, texts, new, more))
        assert self.timed(f"{n:,} items: codes diff", lambda: compare(registry, grown)).stable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the items, under a minute on 2 cores")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench = Bench()
    with tempfile.TemporaryDirectory() as folder:
        bench.catalogue(Path(folder), 5_000 if options.quick else 100_000)
    bench.note("peak memory so far", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, "MiB")
    bench.pure(50_000 if options.quick else 1_000_000)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
