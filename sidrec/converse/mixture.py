"""Which examples of each task are written, how often and in which wording: training and validation conversations."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sidrec.config import ConverseConfig
from sidrec.converse.purchases import Purchases
from sidrec.converse.registry import TASK_SPECS
from sidrec.converse.shop import Shop
from sidrec.converse.spec import TaskSpec, View
from sidrec.types import Conversation, Corpus, ItemCodes, Part

_CHUNK = 8192  # rows turned into Python integers at once
_DRAWS = 2**62


@dataclass(frozen=True, slots=True)
class TaskCount:
    """What became of one task. ``note`` says why nothing, or not everything, was written; else it is empty."""

    task: str
    examples: int
    written: int
    note: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The conversations of one task before they are spelled out: int32 ``(T, columns)``, int64 ``(T,)``, int64 ``(T,)``."""

    rows: NDArray[np.int32]
    wordings: NDArray[np.int64]
    draws: NDArray[np.int64]


def train_conversations(corpus: Corpus, codes: ItemCodes, config: ConverseConfig, seed: int) -> Iterator[Conversation]:
    """Training conversations, task after task in the order of ``TASKS``.

    They are made while they are read. What is held in memory: the items' texts, and the integers of one task at a time
    (for co-purchase 8 bytes a pair).

    A weight w < 1 keeps each example with that probability; w >= 1 writes floor(w) copies of each, in different wordings
    as far as there are such, and one more with the probability of the rest. A cap draws exactly so many.

    Raises:
        DataError: corpus and codes do not belong together.
    """
    view = view_of(Shop(corpus, codes), config, "train")
    for spec in TASK_SPECS.values():
        yield from spell(spec, view.shop, _train_plan(spec, spec.rows(view), config, seed))


def train_examples(
    corpus: Corpus, codes: ItemCodes, config: ConverseConfig, seed: int, each: int = 3
) -> Iterator[Conversation]:
    """A few of the very conversations that ``train_conversations`` gives, spread over each task, without making the rest."""
    view = view_of(Shop(corpus, codes), config, "train")
    for spec in TASK_SPECS.values():
        plan = _train_plan(spec, spec.rows(view), config, seed)
        count = min(each, len(plan.rows))
        spread = np.linspace(0, max(0, len(plan.rows) - 1), count).astype(np.int64)
        yield from spell(spec, view.shop, Plan(plan.rows[spread], plan.wordings[spread], plan.draws[spread]))


def task_counts(corpus: Corpus, codes: ItemCodes, config: ConverseConfig, seed: int) -> tuple[TaskCount, ...]:
    """How many conversations ``train_conversations`` writes of each task, without spelling them out.

    A task without data (a catalogue without descriptions, say) is there with 0 and a note of what it needs.
    """
    view = view_of(Shop(corpus, codes), config, "train")
    counts: list[TaskCount] = []
    for name, spec in TASK_SPECS.items():
        rows = spec.rows(view)
        examples, written = len(rows), len(_train_plan(spec, rows, config, seed).rows)
        weight, cap = _weight(name, config), _cap(name, config)
        if not examples:
            note = f"no data: needs {spec.needs}"
        elif weight == 0.0:
            note = "weight 0"
        else:
            note = ", ".join([f"weight {weight:g}"] * (weight != 1.0) + [f"cap {cap:,} reached"] * (0 < cap == written))
        counts.append(TaskCount(name, examples, written, note))
    return tuple(counts)


def valid_conversations(corpus: Corpus, codes: ItemCodes, config: ConverseConfig, seed: int) -> list[Conversation]:
    """``config.valid_per_task`` conversations of each task that is trained (weight above 0), in held-out wordings.

    Text tasks ask about warm items: they were trained on in other wordings, which is the protocol; cold items belong to
    the test. Behaviour tasks ask for each user's first validation purchase with training purchases before it; nothing of
    the test part is shown or asked for. ``purchase_history`` is one answer with the training purchases and the validation
    purchase behind them, so its loss is mostly that of purchases that were trained on.
    """
    view = view_of(Shop(corpus, codes), config, "valid")
    made: list[Conversation] = []
    for name, spec in TASK_SPECS.items():
        if _weight(name, config) == 0.0:
            continue
        rows = spec.rows(view)
        chosen = np.sort(held_out_order(len(rows), seed)[::-1][: config.valid_per_task])  # the test takes from the front
        rng = generator(seed, f"valid/{name}")
        wordings = rng.integers(len(spec.held_out), size=len(chosen))
        plan = Plan(rows[chosen], wordings, rng.integers(_DRAWS, size=len(chosen)))
        made += spell(spec, view.shop, plan, "held-out")
    return made


def view_of(shop: Shop, config: ConverseConfig, part: Part) -> View:
    """What ``part`` may use; its texts are those of the warm items."""
    return View(shop, shop.warm, Purchases.of(shop.corpus.histories, part), config.window, config.max_history_items)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """One stream of random numbers a purpose, so that another task or weight changes no other task."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def held_out_order(count: int, seed: int) -> NDArray[np.int64]:
    """The order in which validation (from the end) and test (from the front) draw rows.

    It depends on the count alone: seq_last_2, _3 and _5 ask about the same users.
    """
    return generator(seed, "held-out").permutation(count)


def spell(spec: TaskSpec, shop: Shop, plan: Plan, wordings: Literal["train", "held-out"] = "train") -> Iterator[Conversation]:
    """The conversations of a plan."""
    texts = spec.wordings if wordings == "train" else spec.held_out
    for at in range(0, len(plan.rows), _CHUNK):
        part = slice(at, at + _CHUNK)
        columns = (plan.rows[part].tolist(), plan.wordings[part].tolist(), plan.draws[part].tolist())
        for row, wording, draw in zip(*columns, strict=True):
            example = spec.build(shop, row, draw)
            yield Conversation(spec.name, spec.messages(texts[wording], example), example.item_index)


def _weight(task: str, config: ConverseConfig) -> float:
    return config.weights.get(task, config.default_weight)


def _cap(task: str, config: ConverseConfig) -> int:
    """The task's own cap, else the common one; 0: none."""
    return config.caps.get(task, config.max_per_task)


def _train_plan(spec: TaskSpec, rows: NDArray[np.int32], config: ConverseConfig, seed: int) -> Plan:
    weight, cap = _weight(spec.name, config), _cap(spec.name, config)
    rng = generator(seed, f"train/{spec.name}")
    copies = np.full(len(rows), int(weight)) + (rng.random(len(rows)) < weight % 1.0)
    first = rng.integers(len(spec.wordings), size=len(rows))
    total = int(copies.sum())
    of = np.repeat(np.arange(len(rows)), copies)
    copy = np.arange(total) - np.repeat(np.cumsum(copies) - copies, copies)  # 0, 1, ... for the copies of one row
    if 0 < cap < total:
        kept = np.sort(rng.choice(total, cap, replace=False, shuffle=False))
        of, copy = of[kept], copy[kept]
    return Plan(rows[of], (first[of] + copy) % len(spec.wordings), rng.integers(_DRAWS, size=len(of)))
