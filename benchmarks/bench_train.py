"""Training throughput: packed, attention per document, answer rows only - against padded to the longest, full logits.

    python benchmarks/bench_train.py [--quick] [--threads N] [--json FILE]

Documents of 30 to 130 tokens with 7 answer tokens, as a catalogue's tasks make them. Both systems train the same model
(hidden 128, 3 layers) on the same documents; padded means 64 documents a batch, plain transformers, sdpa with a mask.
Rates count real tokens, no padding, and include AdamW. The comparison is in process CPU time on one thread: threads that
wait for each other on a busy machine burn CPU time. The last line is wall time on --threads. The best round counts, since
other programs only ever make one slower.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from sidrec.config import StageConfig
from sidrec.train import TokenizedConversations
from sidrec.train.optim import Compute, Computer, fast_bfloat16, make_optimizer
from sidrec.train.pack import Steps
from sidrec.train.step import Worker

VOCABULARY, ANSWER = 5248, 7
DEMO_TOKENS, DEMO_SECONDS = 7_000_000, 180  # what the demo has to learn from, and how long that may take


def documents(n: int) -> TokenizedConversations:
    draw = np.random.default_rng(0)
    offsets = np.concatenate(([0], np.cumsum(draw.integers(30, 131, n)))).astype(np.int64)
    mask = np.zeros(offsets[-1], dtype=np.bool_)
    for end in offsets[1:]:
        mask[end - 1 - ANSWER : end - 1] = True
    return TokenizedConversations(draw.integers(0, VOCABULARY, offsets[-1]).astype(np.int32), mask, offsets)


def model() -> PreTrainedModel:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            tie_word_embeddings=True,
        )
    )


def rates(step: Callable[[int], int], rounds: int) -> tuple[float, float]:
    """Tokens a CPU second and tokens a second of wall time, the best of ``rounds`` after one to warm up."""
    step(0)
    best = (0.0, 0.0)
    for i in range(1, rounds + 1):
        cpu, wall = time.process_time(), time.perf_counter()
        tokens = step(i)
        best = (
            max(best[0], tokens / (time.process_time() - cpu)),
            max(best[1], tokens / (time.perf_counter() - wall)),
        )
    return best


def packed(data: TokenizedConversations, compute: Compute, rounds: int) -> tuple[float, float]:
    stage = StageConfig(tokens_per_step=8192, tokens_per_batch=8192)
    trained = model()
    parameters = list(trained.parameters())
    worker = Worker(Computer(trained, compute), make_optimizer(parameters, stage), parameters, stage, "bench", 0)
    steps = Steps(data, stage.tokens_per_step, stage.tokens_per_batch, 0)

    def step(i: int) -> int:
        batches = steps.batch(i)
        worker.step(i, batches, 1e-3)
        return sum(len(batch.ids) for batch in batches)

    with worker.on():
        return rates(step, rounds)


def padded(data: TokenizedConversations, rounds: int, batch: int = 64) -> tuple[float, float]:
    trained = model()
    optimizer = make_optimizer(trained.parameters(), StageConfig())

    def step(i: int) -> int:
        rows = [slice(data.offsets[r], data.offsets[r + 1]) for r in range(i * batch, (i + 1) * batch)]
        longest = max(row.stop - row.start for row in rows)
        ids = torch.zeros((batch, longest), dtype=torch.int64)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for r, row in enumerate(rows):
            size = int(row.stop - row.start)
            ids[r, :size] = torch.from_numpy(data.tokens[row].astype(np.int64))
            mask[r, :size] = 1
            answers = torch.from_numpy(data.mask[row])
            labels[r, :size][answers] = ids[r, :size][answers]
        logits = trained(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
        functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return int(mask.sum())

    return rates(step, rounds)


def result(name: str, value: float, unit: str, goal: float | None = None) -> dict[str, Any]:
    """One row; a larger value is better."""
    value = round(value) if value >= 100 else value
    return {"name": name, "value": value, "unit": unit, "goal": goal, "met": None if goal is None else value >= goal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, under a minute on 2 cores")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds = 3 if options.quick else 20
    data = documents(3000)
    torch.set_num_threads(1)
    base, _ = padded(data, 1 if options.quick else 5)
    computes: list[Compute] = ["float32", "bfloat16"] if fast_bfloat16(torch.device("cpu")) else ["float32"]
    results = [result("padded to the longest, full logits, float32", base, "tokens/CPU s")]
    for compute in computes:
        cpu, _ = packed(data, compute, rounds)
        results.append(result(f"packed, {compute}", cpu, "tokens/CPU s"))
        results.append(result(f"packed, {compute}, against padded", round(cpu / base, 2), "x", 3.0))
    torch.set_num_threads(options.threads)
    _, wall = packed(data, computes[-1], rounds)
    results.append(result(f"packed, {computes[-1]}, {options.threads} threads", wall, "tokens/s", DEMO_TOKENS // DEMO_SECONDS))
    for row in results:
        aim = "" if row["goal"] is None else f"  (goal {row['goal']:,}, {'met' if row['met'] else 'not met'})"
        print(f"{row['name']:<48} {row['value']:>10,} {row['unit']}{aim}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
