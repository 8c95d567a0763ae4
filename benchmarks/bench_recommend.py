"""Decoding: transformers' beam search over a Python prefix map (a), sidrec's decoder (b), one bare prefill (c).

    python benchmarks/bench_recommend.py [--quick | --large] [--threads N ...] [--json FILE]

Random Qwen3 of hidden 256 and 4 layers with Qwen3's own 151,669 tokens and 1,027 new ones (`--large`: the shape of
Qwen3-0.6B, 2.4 GB of float32), 100,000 and 1,000,000 items of four levels of which 87 % are alone under their first three
codes (of the 100,000), as the reference system reports; prompts of 200 tokens. (a) is
`generate(num_beams=K, prefix_allowed_tokens_fn=...)`, the way published systems decode; (c) is transformers' own forward of
the prompts, without any logits. (b) stands twice: by default it measures each code against the codes possible at its node;
"full" against the whole vocabulary, as (a) does, at the price of the whole head at each step. Then (a) and (b) must find
the same items, which is checked.

On one thread the figures are process CPU time, since other programs on the machine would only blur the clock's; on more,
wall time. The systems take turns in one run, and the medians are compared. Ratios are of these medians. Peak memory is what
the process takes at most during a call beyond what it held before (model and catalogue), on Linux: free memory is given
back to the system first, and the kernel's high-water mark is reset.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recommend_parts import SIZES, WORDS, peak_mb, prefix_map, random_codes, random_qwen3, resident_mb, seconds
from transformers import GenerationConfig, PreTrainedModel

from sidrec.recommend import Recommender, Trie, generate_text
from sidrec.types import ItemCodes, Request
from sidrec.vocabulary import SidVocabulary

PROMPT = 200
GOALS = {10: (15.0, 1.5), 50: (50.0, 2.2)}  # K -> a/b at least, b/c at most
LARGE_GOALS = {k: (a, 1.2 * (PROMPT + 3 * k) / PROMPT) for k, a in ((10, 7.0), (50, 30.0))}  # b/c: near the arithmetic floor
OVERHEAD = 1.03  # a tenth of the items and 50 exclusions against no filter


@dataclass
class Catalogue:
    """Items in the two forms that the systems search, and what each form takes."""

    codes: ItemCodes
    lists: dict[tuple[int, ...], list[int]]

    @classmethod
    def of(cls, n: int, vocabulary: SidVocabulary, bench: Bench) -> Catalogue:
        codes = ItemCodes(random_codes(n), SIZES)
        before = resident_mb()
        made = cls(codes, prefix_map(codes, vocabulary))
        bench.add(f"{n:,} items: memory of (a)'s prefix map", resident_mb() - before, "MB")
        bench.add(f"{n:,} items: memory of (b)'s trie", Trie.build(codes.codes, SIZES).nbytes / 1e6, "MB")
        return made


class Bench:
    def __init__(self, quick: bool) -> None:
        self.quick, self.rows = quick, list[dict[str, Any]]()
        self.threads = 1

    @property
    def clock(self) -> Callable[[], float]:
        return time.process_time if self.threads == 1 else time.perf_counter

    def use(self, threads: int) -> None:
        self.threads = threads
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s, wall' if threads > 1 else ', CPU'} time", flush=True)

    def add(self, name: str, value: float, unit: str, goal: float | None = None, least: bool = True) -> None:
        name = name if self.threads == 1 else f"{self.threads} threads: {name}"
        met = None if goal is None else bool(value >= goal if least else value <= goal)
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit, "goal": goal, "met": met})
        aim = "" if goal is None else f"   (goal {'>=' if least else '<='} {goal:.3g}: {'met' if met else 'NOT met'})"
        print(f"{name:<76} {value:>10,.2f} {unit}{aim}", flush=True)

    def trie(self, n: int, most_seconds: float, most_mb: float) -> None:
        codes = random_codes(n, skew=1.0)  # even codes make the most nodes
        made: list[Trie] = []

        def build() -> None:
            made[:] = [Trie.build(codes, SIZES)]

        took = seconds({"build": build}, {"build": 3}, time.process_time)["build"]
        self.add(f"trie of {n:,} items, build", took, "s", most_seconds, least=False)
        self.add(f"trie of {n:,} items, memory", made[0].nbytes / 1e6, "MB", most_mb, least=False)

    def decode(self, model: PreTrainedModel, catalogue: Catalogue, batches: Sequence[int], large: bool) -> None:
        vocabulary = SidVocabulary(SIZES, WORDS)
        ours = {name: Recommender(model, vocabulary, catalogue.codes, name) for name in ("valid", "full")}  # type: ignore[arg-type]
        draw = np.random.default_rng(1)
        for batch in batches:
            prompts = draw.integers(0, WORDS, (batch, PROMPT - 1)).tolist()
            for k in (10, 50):
                if self.quick and batch * k > 100:
                    continue  # (a) alone takes half a minute
                self._compare(model, ours, catalogue.lists, prompts, k, large)
                if not large:
                    self._filters(ours["valid"], prompts, k)

    def _compare(
        self,
        model: PreTrainedModel,
        ours: dict[str, Recommender],
        lists: dict[tuple[int, ...], list[int]],
        prompts: list[list[int]],
        k: int,
        large: bool,
    ) -> None:
        batch, n = len(prompts), ours["valid"].codes.n_items
        opened = torch.tensor([[*prompt, ours["valid"].vocabulary.start_id] for prompt in prompts])
        plain = GenerationConfig(
            num_beams=k, num_return_sequences=k, max_new_tokens=len(SIZES), do_sample=False, length_penalty=0.0, pad_token_id=0
        )
        answers: dict[str, Any] = {}

        def a() -> None:
            allowed = {"prefix_allowed_tokens_fn": lambda _, ids: lists[tuple(ids[PROMPT:].tolist())]}
            out = model.generate(opened, generation_config=plain, attention_mask=torch.ones_like(opened), **allowed)
            answers["a"] = out[:, PROMPT:].reshape(batch, k, len(SIZES)).numpy()

        def b(name: str) -> Callable[[], None]:
            return lambda: answers.__setitem__(name, ours[name].rank(prompts, k, k))

        @torch.inference_mode()
        def c() -> None:
            model.base_model(opened, use_cache=True)

        systems = {"a": a, "valid": b("valid"), "full": b("full"), "c": c}
        fast = (5 if batch == 1 else 2) if self.quick else (30 if batch == 1 else 8)
        slow = 1 if self.quick else (3 if batch * k < 400 else 1)
        repeats = {"a": slow, "valid": fast, "full": fast, "c": fast}
        if large:
            repeats = {"a": 1, "valid": 5, "full": 3, "c": 5}
        took = seconds(systems, repeats, self.clock)
        memory = {name: peak_mb(system) for name, system in systems.items()} if self.threads == 1 and not large else {}
        case = f"{n:,} items, batch {batch}, K {k}"
        labels = {"a": "(a) generate, prefix map", "valid": "(b) sidrec", "full": "(b) sidrec, full", "c": "(c)"}
        for name, label in labels.items():
            self.add(f"{case}: {label}", took[name] * 1e3, "ms")
            if memory.get(name) is not None:
                self.add(f"{case}: {label}, peak memory", memory[name] or 0.0, "MB")
        over, under = (LARGE_GOALS if large else GOALS)[k]
        self.add(f"{case}: a/b", took["a"] / took["valid"], "x", over)
        self.add(f"{case}: b/c", took["valid"] / took["c"], "x", under, least=False)
        self.add(f"{case}: a/b, full", took["a"] / took["full"], "x")
        self.add(f"{case}: b/c, full", took["full"] / took["c"], "x")
        self.add(
            f"{case}: items that (a) and (b) full share", shared(answers["a"], answers["full"], ours["full"]), "of 1", 0.999
        )

    def _filters(self, recommender: Recommender, prompts: list[list[int]], k: int) -> None:
        """No filter, and filters under which the search keeps the same beams, so that nothing else differs.

        The mask keeps a tenth of the items, one below each kept beam among them; exclusions are a history of 50 others.
        """
        draw, trie = np.random.default_rng(3), recommender.trie
        place = np.cumprod([1, *SIZES[:0:-1]])[::-1]
        keys = recommender.codes.codes[trie.items] @ place  # sorted, as the trie's items are
        kept = [level.codes[level.kept] for prompt in prompts for level in recommender.explain(Request(prompt), k, k).levels]
        needed = np.concatenate([trie.items[np.searchsorted(keys, codes @ place[: codes.shape[1]])] for codes in kept])
        mask = np.zeros(trie.n_items, dtype=np.bool_)
        mask[draw.permutation(trie.n_items)[: trie.n_items // 10]] = True
        mask[needed] = True
        mask.setflags(write=False)  # counted once, as a server's are
        others = np.setdiff1d(np.flatnonzero(mask), needed)
        requests = [Request(prompt, draw.choice(others, 50, replace=False).tolist(), mask) for prompt in prompts]
        systems: dict[str, Callable[[], object]] = {
            "none": lambda: recommender.rank(prompts, k, k),
            "filtered": lambda: recommender.answer(requests, k, k),
        }
        repeats = 5 if self.quick else 40 if len(prompts) == 1 else 12
        took = seconds(systems, dict.fromkeys(systems, repeats), self.clock)
        case = f"{trie.n_items:,} items, batch {len(prompts)}, K {k}"
        self.add(
            f"{case}: (b) filtered to {mask.mean():.0%}, against none", took["filtered"] / took["none"], "x", OVERHEAD, False
        )

    def batches(self, requests: int) -> None:
        """An evaluation: 20 beams, prompts of 30 to 130 tokens, a model that trains in half an hour."""
        draw = np.random.default_rng(2)
        model, vocabulary = random_qwen3(4096 + 1027, 128, 3, 4, 32), SidVocabulary(SIZES, 4096)
        recommender = Recommender(model, vocabulary, ItemCodes(random_codes(12_000), SIZES))
        prompts = [draw.integers(0, 4096, n).tolist() for n in draw.integers(30, 131, requests)]
        masked = draw.random(12_000) < 0.1
        bought = [draw.integers(0, 12_000, 10).tolist() for _ in prompts]
        systems: dict[str, Callable[[], object]] = {
            "20 beams": lambda: recommender.rank(prompts, 10, 20),
            "20 beams, a tenth of the items, bought ones excluded": lambda: recommender.rank(prompts, 10, 20, bought, masked),
            "48 words, greedy": lambda: generate_text(model, [p[:40] for p in prompts], 48, stop_id=-1),
        }
        took = seconds(systems, dict.fromkeys(systems, 2), self.clock)
        for name, time_taken in took.items():
            self.add(f"hidden 128, 3 layers, 12,000 items: {name}", requests / time_taken, "requests/s")


def shared(found: NDArray[np.int64], answers: Sequence[Any], recommender: Recommender) -> float:
    """Share of (a)'s items that (b) has too."""
    offsets = recommender.vocabulary.level_offsets
    shares = []
    for rows, answer in zip(found - offsets, answers, strict=True):
        ours = set(map(tuple, recommender.codes.codes[answer.items].tolist()))
        shares.append(sum(tuple(row) in ours for row in rows.tolist()) / len(rows))
    return float(np.mean(shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer repeats and cases, under a minute on 2 cores")
    size.add_argument("--large", action="store_true", help="the shape of Qwen3-0.6B alone: 15 minutes")
    parser.add_argument("--threads", type=int, nargs="+", help="default: 1, and then all (--quick and --large: 1)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bench, vocabulary = Bench(options.quick), SidVocabulary(SIZES, WORDS)
    torch.set_num_threads(1)
    if options.large:
        model = random_qwen3(WORDS + 1035, 1024, 28, 16, 128)
    else:
        model = random_qwen3(WORDS + 1035, 256, 4, 8, 32)
        bench.trie(1_000_000, 0.3, 12.0)
        if not options.quick:
            bench.trie(10_000_000, 4.0, 100.0)
    sizes = (100_000,) if options.quick or options.large else (100_000, 1_000_000)
    catalogues = [Catalogue.of(n, vocabulary, bench) for n in sizes]
    everything = [1] if options.quick or options.large else sorted({1, os.cpu_count() or 1})
    for threads in options.threads or everything:
        bench.use(threads)
        for catalogue in catalogues:
            bench.decode(model, catalogue, (1,) if options.large else (1, 8), options.large)
        if not options.large:
            bench.batches(128 if options.quick else 1024)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
