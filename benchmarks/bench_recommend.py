"""Decoding: transformers' beam search over a Python prefix map (a), sidrec's decoder (b), one bare prefill (c).

    python benchmarks/bench_recommend.py [--quick] [--threads N] [--json FILE]

Random Qwen3 of hidden 256 and 4 layers with Qwen3's own 151,669 tokens and 1,027 new ones, 100,000 items of four
levels of which 87 % are alone under their first three codes, as the reference system reports; prompts of 200 tokens. (a) is
`generate(num_beams=K, prefix_allowed_tokens_fn=...)`, the way published systems decode; (c) is transformers' own forward of
the prompts, without any logits. (b) stands twice: by default it measures each code against the codes possible at its node;
"full" against the whole vocabulary, as (a) does, at the price of the whole head at each step. Then (a) and (b) must find
the same items, which is checked.

On one thread the figures are process CPU time, since other programs on the machine would only blur the clock's; on more,
wall time. The three take turns in one run, and the medians are compared. Ratios are of these medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from sidrec.recommend import Recommender, Trie, generate_text
from sidrec.types import ItemCodes
from sidrec.vocabulary import SidVocabulary

SIZES = (256, 256, 256, 256)
WORDS, ROWS, PROMPT = 151_669, 152_704, 200
GOALS = {  # (batch, K) -> a/b at least, b/c at most; TECH.md's measurements of such a decoder
    (1, 10): (15.0, 1.57),
    (1, 50): (50.0, 2.26),
    (8, 10): (15.0, None),
    (8, 50): (50.0, 2.08),
}


def random_codes(n: int, skew: float = 2.5) -> NDArray[np.int32]:
    """Codes made unique by a last level that counts within each group; ``skew`` 1 is even."""
    learned = (256 * np.random.default_rng(0).random((n, 3)) ** skew).astype(np.int64)
    key = learned @ np.array([1 << 16, 1 << 8, 1])
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    tie = np.empty(n, dtype=np.int64)
    tie[order] = np.arange(n) - np.repeat(starts, np.diff(starts, append=n))
    return np.column_stack((learned, tie)).astype(np.int32)


def random_qwen3(rows: int, hidden: int, layers: int, heads: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=rows, hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads // 2, head_dim=32, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def prefix_map(codes: ItemCodes, vocabulary: SidVocabulary) -> dict[tuple[int, ...], list[int]]:
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


class Bench:
    def __init__(self, clock: Callable[[], float], quick: bool) -> None:
        self.clock, self.quick, self.rows = clock, quick, list[dict[str, Any]]()

    def add(self, name: str, value: float, unit: str, goal: float | None = None, least: bool = True) -> None:
        met = None if goal is None else bool(value >= goal if least else value <= goal)
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit, "goal": goal, "met": met})
        aim = "" if goal is None else f"   (goal {'>=' if least else '<='} {goal:g}: {'met' if met else 'NOT met'})"
        print(f"{name:<62} {value:>10,.2f} {unit}{aim}", flush=True)

    def trie(self, n: int) -> None:
        codes = random_codes(n, skew=1.0)  # even codes make the most nodes
        made: list[Trie] = []
        took = seconds({"build": lambda: made.append(Trie.build(codes, SIZES))}, {"build": 3}, self.clock)["build"]
        self.add(f"trie of {n:,} items, build", took, "s", 0.3, least=False)
        self.add(f"trie of {n:,} items, memory", made[0].nbytes / 1e6, "MB", 12.0, least=False)

    def decode(self, model: PreTrainedModel, codes: ItemCodes) -> None:
        vocabulary = SidVocabulary(SIZES, WORDS)
        ours = {name: Recommender(model, vocabulary, codes, name) for name in ("valid", "full")}  # type: ignore[arg-type]
        lists = prefix_map(codes, vocabulary)
        draw = np.random.default_rng(1)
        for batch in (1, 8):
            prompts = draw.integers(0, WORDS, (batch, PROMPT - 1)).tolist()
            opened = torch.tensor([[*prompt, vocabulary.start_id] for prompt in prompts])
            for k in (10, 50):
                if self.quick and (batch, k) == (8, 50):
                    continue  # (a) alone takes half a minute
                self._compare(model, ours, lists, prompts, opened, k)

    def _compare(
        self,
        model: PreTrainedModel,
        ours: dict[str, Recommender],
        lists: dict[tuple[int, ...], list[int]],
        prompts: list[list[int]],
        opened: torch.Tensor,
        k: int,
    ) -> None:
        batch = len(prompts)
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

        fast = (5 if batch == 1 else 2) if self.quick else (30 if batch == 1 else 8)
        slow = 1 if self.quick else (3 if batch * k < 400 else 1)
        systems = {"a": a, "valid": b("valid"), "full": b("full"), "c": c}
        took = seconds(systems, {"a": slow, "valid": fast, "full": fast, "c": fast}, self.clock)
        case = f"batch {batch}, K {k}"
        for name, label in (
            ("a", "(a) generate, prefix map"),
            ("valid", "(b) sidrec"),
            ("full", "(b) sidrec, full"),
            ("c", "(c)"),
        ):
            self.add(f"{case}: {label}", took[name] * 1e3, "ms")
        over, under = GOALS[batch, k]
        self.add(f"{case}: a/b", took["a"] / took["valid"], "x", over)
        self.add(f"{case}: b/c", took["valid"] / took["c"], "x", under, least=False)
        self.add(f"{case}: a/b, full", took["a"] / took["full"], "x")
        self.add(f"{case}: b/c, full", took["full"] / took["c"], "x")
        self.add(
            f"{case}: items that (a) and (b) full share", shared(answers["a"], answers["full"], ours["full"]), "of 1", 0.999
        )

    def batches(self, requests: int) -> None:
        """An evaluation: 20 beams, prompts of 30 to 130 tokens, a model that trains in half an hour."""
        draw = np.random.default_rng(2)
        model, vocabulary = random_qwen3(4096 + 1027, 128, 3, 4), SidVocabulary(SIZES, 4096)
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
    parser.add_argument("--quick", action="store_true", help="fewer repeats, under a minute on 2 cores")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bench = Bench(time.process_time if options.threads == 1 else time.perf_counter, options.quick)
    bench.trie(1_000_000)
    bench.decode(random_qwen3(ROWS, 256, 4, 8), ItemCodes(random_codes(100_000), SIZES))
    bench.batches(128 if options.quick else 1024)
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
