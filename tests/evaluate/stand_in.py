"""A small shop with customers who stay within a kind of product, and answers of a model that is right now and then."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.config import EVALUATED_TASKS, RunConfig
from sidrec.evaluate import (
    MODEL,
    SID_TO_TEXT,
    TASK_K,
    TEXT_TO_SID,
    Baselines,
    NextItemOutcome,
    ReportInputs,
    RunFacts,
    SidOutcome,
    TextOutcome,
    as_json,
    next_item_metrics,
    pick_customers,
    sid_metrics,
    text_metrics,
)
from sidrec.schemas import DROPPED_SCHEMA
from sidrec.types import ItemCodes, ItemVectors, Metric

HOSTILE = "<script>alert('bought')</script> & <img src=x onerror=alert(1)> https://evil.example/x.js"
_KINDS = ("Grain-Free Salmon Dry Food for Senior Cats", "Aquarium Filter Cartridge, 6 Pack", "Rope Tug Toy for Large Dogs",
          "Orthopedic Memory Foam Dog Bed", "Clumping Unscented Cat Litter", "Reptile Heat Lamp, 100 W", "Puppy Training Pads",
          "Bird Seed Mix with Dried Fruit")  # fmt: skip


class Shop:
    """N items in eight kinds; a customer buys within one kind, mostly its next item."""

    def __init__(self, n_items: int = 320, n_users: int = 600, seed: int = 0) -> None:
        rng = np.random.default_rng([seed, 1])
        self.n, self.rng = n_items, rng
        kind = np.arange(n_items) % 8
        place = np.arange(n_items) // 8
        levels = (kind * 2 + place % 2, place // 2 % 5, place // 10 % 4)
        tie: dict[tuple[int, ...], int] = {}
        rows = []
        for prefix in zip(*(level.tolist() for level in levels), strict=True):
            rows.append((*prefix, tie.setdefault(prefix, 0)))
            tie[prefix] += 1
        self.codes = ItemCodes(np.array(rows, dtype=np.int32), (16, 5, 4, 256))
        noisy = np.eye(8)[kind] + rng.normal(scale=0.35, size=(n_items, 8))
        self.vectors = ItemVectors((noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32))
        self.cold = rng.random(n_items) < 0.05
        self.titles = [f"Acme {_KINDS[k]}, No. {p}" for k, p in zip(kind.tolist(), place.tolist(), strict=True)]
        self.histories = []
        for _ in range(n_users):
            at, steps = rng.integers(n_items), 8 * rng.integers(-6, 9, size=rng.integers(4, 11))
            self.histories.append(((at + np.cumsum(steps)) % n_items).astype(np.int32))
        self.baselines = Baselines.fit([h[:-2] for h in self.histories], self.codes, self.cold, self.vectors)

    def guess(self, truth: NDArray[np.int32], k: int, skill: float) -> NDArray[np.int32]:
        """k distinct items a row; the truth is among them at a random place for a share ``skill`` of the rows."""
        ranked = np.argsort(self.rng.random((len(truth), self.n)), axis=1)[:, :k].astype(np.int32)
        hit = (self.rng.random(len(truth)) < skill) & ~(ranked == truth[:, None]).any(axis=1)
        places = self.rng.integers(k, size=len(truth))
        ranked[np.flatnonzero(hit), places[hit]] = truth[hit]
        return ranked

    def next_item(self, skill: float = 0.5, k: int = 20, exclude_seen: bool = False) -> NextItemOutcome:
        truth = np.array([h[-1] for h in self.histories], dtype=np.int32)
        known = [h[:-1].tolist() for h in self.histories]
        ranked = {MODEL: self.guess(truth, k, skill), **self.baselines.next_item(known, k, exclude_seen)}
        users = [f"U{u:05}" for u in range(len(known))]
        return NextItemOutcome(users, known, truth, self.cold[truth], ranked, exclude_seen)

    def sid_task(self, task: str, skill: float = 0.3, b: int = 300) -> SidOutcome:
        if task in TEXT_TO_SID:
            truth = self.rng.integers(self.n, size=b).astype(np.int32)
            shown: list[list[int]] = [[] for _ in range(b)]
            noisy = self.vectors.vectors[truth] + self.rng.normal(scale=0.3, size=(b, 8)).astype(np.float32)
            queries = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
            baselines = self.baselines.sid_task(task, shown, queries)
        else:
            truth = np.array([h[-1] for h in self.histories[:b]], dtype=np.int32)
            shown = [h[-3:-1].tolist() for h in self.histories[:b]]
            baselines = self.baselines.sid_task(task, shown)
        greedy = self.codes.codes[truth].copy()
        for level in range(4):
            wrong = self.rng.random(len(truth)) < 0.1
            greedy[wrong, level] = self.rng.integers(self.codes.sizes[level], size=int(wrong.sum()))
        greedy[:3] = -1
        known = set(map(tuple, self.codes.codes.tolist()))
        valid = np.array([tuple(row) in known for row in greedy.tolist()])
        return SidOutcome(task, truth, self.cold[truth], greedy, valid, self.guess(truth, TASK_K, skill), baselines)

    def text_task(self, task: str, b: int = 60) -> TextOutcome:
        truth = self.rng.integers(self.n, size=b).astype(np.int32)
        references = [self.titles[i] for i in truth.tolist()]
        written = [text if i % 4 == 0 else text.split(",")[0] for i, text in enumerate(references)]
        return TextOutcome(task, truth, self.cold[truth], written, references, self.titles)

    def rows(self, empty: tuple[str, ...] = ()) -> list[Metric]:
        """Every figure; ``empty`` tasks have no samples."""
        rows = next_item_metrics(self.next_item(), (5, 10), seed=0)
        for task in EVALUATED_TASKS:
            if task in empty:
                continue
            if task in SID_TO_TEXT:
                rows += text_metrics(self.text_task(task), self.baselines)
            else:
                rows += sid_metrics(self.sid_task(task), self.baselines)
        return rows

    def facts(self) -> RunFacts:
        bought = sum(map(len, self.histories))
        return RunFacts("stand-in", 0, self.n, int(self.cold.sum()), len(self.histories), bought, "leave-last-out", False, 20)

    def report_inputs(self, rows: list[Metric], outcome: NextItemOutcome) -> ReportInputs:
        dropped = pl.DataFrame(
            [("item", "missing_title", "items.csv", 7, "P7", "")] * 3 + [("interaction", HOSTILE, "log.csv", 9, "", "")],
            schema=DROPPED_SCHEMA,
            orient="row",
        )
        assert dropped.columns[0] == c.KIND
        return ReportInputs(
            metrics=as_json(rows, self.facts()),
            customers=pick_customers(outcome, self.titles, seed=0),
            training=training_rows(),
            health={
                "unique_share": 0.941237,
                "largest_group": 7,
                "levels": [
                    {"level": level, "size": 256, "used": used, "perplexity": perplexity}
                    for level, used, perplexity in (("A", 251, 212.42), ("B", 256, 240.18), ("C", 254, 239.0))
                ],
            },
            dropped=dropped,
            config=RunConfig().model_dump(mode="json"),
            versions={"sidrec": "0.1.0", "torch": "2.13.0"},
        )


def training_rows() -> list[dict[str, Any]]:
    """As the training room writes them: a row a step, the latest validation loss carried along."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for stage, steps, start in (("vocabulary", 100, 9.0), ("full", 1500, 5.0)):
        valid = None
        for step in range(1, steps + 1):
            loss = 1.5 + (start - 1.5) * float(np.exp(-3 * step / steps)) + float(rng.normal(scale=0.05))
            if step % 300 == 0 or step == steps:
                valid = loss + 0.2
            rows.append({"stage": stage, "step": step, "loss": loss, "valid_loss": valid, "learning_rate": 1e-3})
    return rows
