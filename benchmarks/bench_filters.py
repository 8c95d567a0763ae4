"""Filters: what a mask costs at 1 M items, composed with lists, and what a filtered request costs beside an unfiltered one.

    python benchmarks/bench_filters.py [--quick] [--json FILE]

A catalogue of random items: 2,000 brands, 270 categories in paths of three, titles of 60 characters, prices, stock.
"first" is a filter that meets its columns for the first time, when the texts are folded for comparison; "again" is the
same condition afterwards, for another value. A request is asked of a random Qwen3 (hidden 256, 4 layers) with a prompt of
200 tokens, K 10; "new mask" composes and counts the conditions anew each time, "known mask" is what a server that keeps its
masks does. Process CPU time on one thread, medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from recommend_parts import SIZES, WORDS, random_codes, random_qwen3, seconds

from sidrec.recommend import Recommender
from sidrec.recommend.eligibility import Eligibility
from sidrec.recommend.expressions import Filter, FilterColumns
from sidrec.types import ItemCodes, Request
from sidrec.vocabulary import SidVocabulary

AGAIN_MS, WHOLE_MS, OVERHEAD = 50.0, 50.0, 1.03
CONDITIONS = {
    "a number": "price < {}",
    "a truth value": "in_stock and price < {}",
    "a text": "brand = 'brand {}'",
    "one of five texts": "brand in ('brand {}', 'brand 2', 'brand 3', 'brand 4', 'brand 5')",
    "an entry of a list": "category has 'shelf {}'",
    "a part of a title": "title contains 'number {}'",
    "novelty": "novelty >= {}",
}
WHOLE = "price < 30 and category has 'cats' and brand != 'brand 7' and in_stock"


def catalogue(n: int) -> FilterColumns:
    draw = np.random.default_rng(0)
    paths = [["Pet Supplies", kind, f"Shelf {shelf}"] for kind in ("Cats", "Dogs", "Fish") for shelf in range(90)]
    frame = pl.DataFrame(
        {
            "item_id": [f"P{i}" for i in range(n)],
            "title": [f"Product number {i} with words on salmon and senior cats, {i % 97} oz" for i in range(n)],
            "brand": [f"Brand {i}" for i in draw.integers(0, 2000, n)],
            "category": [paths[i] for i in draw.integers(0, len(paths), n)],
            "price": draw.random(n) * 100,
            "in_stock": draw.random(n) < 0.9,
        }
    )
    return FilterColumns.of(frame, draw.zipf(1.5, n).clip(max=10_000))


def milliseconds(system: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        system()
        taken.append(time.process_time() - began)
    return 1e3 * statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 items")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []

    def add(name: str, value: float, unit: str, goal: float | None = None) -> None:
        met = None if goal is None else value <= goal
        rows.append({"name": name, "value": value, "unit": unit, "goal": goal, "met": met})
        told = "" if goal is None else f"  goal {goal:g}: {'met' if met else 'missed'}"
        print(f"{name:<72}{value:>9.3g} {unit:<3}{told}")

    n = 100_000 if options.quick else 1_000_000
    columns = catalogue(n)
    for name, text in CONDITIONS.items():
        add(f"{n:,} items: {name}, first", milliseconds(lambda text=text: Filter.of(text.format(1), columns).mask(), 1), "ms")
        numbers = iter(range(2, 50))
        again = milliseconds(lambda text=text, it=numbers: Filter.of(text.format(next(it)), columns).mask(), 9)
        add(f"{n:,} items: {name}, again", again, "ms", AGAIN_MS)
    add("parse and check the filter of four conditions", milliseconds(lambda: Filter.of(WHOLE, columns), 99), "ms", 1.0)
    add(f"{n:,} items: four conditions", milliseconds(lambda: Filter.of(WHOLE, columns).mask(), 9), "ms", WHOLE_MS)

    draw = np.random.default_rng(1)
    allow, deny = draw.choice(n, n // 10, replace=False).tolist(), draw.choice(n, 1000, replace=False).tolist()
    offered = draw.random(n) < 0.99

    def compose() -> Eligibility:
        return Eligibility.of(columns, [WHOLE], allow=allow, deny=deny, min_novelty=8.0, offered=offered)

    add(f"{n:,} items: the same, novelty, a list of {n // 10:,} and one of 1,000", milliseconds(compose, 9), "ms", WHOLE_MS)
    few = Eligibility.of(columns, ["price < 1 and brand = 'brand 7' and category has 'shelf 3' and not in_stock"])
    add(f"{n:,} items: why four conditions leave nothing", milliseconds(lambda: few.why_so_few([1, 2]), 3), "ms")

    vocabulary = SidVocabulary(SIZES, WORDS)
    recommender = Recommender(random_qwen3(WORDS + 1035, 256, 4, 8, 32), vocabulary, ItemCodes(random_codes(n), SIZES))
    prompt = draw.integers(0, WORDS, 200).tolist()
    known = Eligibility.of(columns, [WHOLE]).mask
    systems: dict[str, Callable[[], object]] = {
        "none": lambda: recommender.answer([Request(prompt)], 10, 10),
        "known mask": lambda: recommender.answer([Request(prompt, (), known)], 10, 10),
        "new mask": lambda: recommender.answer([Request(prompt, (), Eligibility.of(columns, [WHOLE]).mask)], 10, 10),
    }
    took = seconds(systems, dict.fromkeys(systems, 9 if options.quick else 25), time.process_time)
    for name, spent in took.items():
        add(f"{n:,} items: a request, {name}", 1e3 * spent, "ms")
    add(f"{n:,} items: known mask against none", took["known mask"] / took["none"], "x", OVERHEAD)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
