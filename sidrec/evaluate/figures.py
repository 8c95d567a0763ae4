"""Looking figures up and saying them to a person: shared by the report, the pictures and the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sidrec.config import EVALUATED_TASKS
from sidrec.evaluate.outcomes import MODEL
from sidrec.evaluate.score import NEXT_ITEM
from sidrec.evaluate.suite import CHANCE, CONSTANT, COOCCURRENCE, NEAREST_CODE, NEAREST_VECTORS, POPULARITY, SID_TO_TEXT
from sidrec.page import percent
from sidrec.types import Metric

LABELS = {
    MODEL: "model",
    COOCCURRENCE: "co-occurrence",
    NEAREST_VECTORS: "nearest vectors",
    POPULARITY: "popularity",
    CONSTANT: "constant answers",
    NEAREST_CODE: "nearest code’s text",
    CHANCE: "chance",
}
"""Systems in the order in which they are shown."""
NO_DATA = "no data"
SID_TASKS = tuple(task for task in EVALUATED_TASKS if task not in SID_TO_TEXT)


def label(system: str) -> str:
    """A system's name for a person."""
    return LABELS.get(system, system.replace("_", " "))


@dataclass(frozen=True)
class Figures:
    """The rows of ``metrics.json``, by task, metric, system and segment, and the run's facts. Made by ``from_json``."""

    rows: tuple[Metric, ...]
    about: Mapping[str, Any]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Figures:
        """``document``: a ``metrics.json`` that has been read, or what ``as_json`` made."""
        named = {"system", "task", "segment", "metric", "value", "n"}
        rows = tuple(
            Metric(
                row["system"], row["task"], row["metric"], math.nan if row["value"] is None else float(row["value"]), row["n"],
                {key: float(value) for key, value in row.items() if key not in named}, row["segment"],
            )
            for row in document["rows"]
        )  # fmt: skip
        return cls(rows, document["about"])

    @cached_property
    def _by_key(self) -> dict[tuple[str, str, str, str], Metric]:
        return {(row.task, row.metric, row.system, row.segment): row for row in self.rows}

    def get(self, task: str, metric: str, system: str = MODEL, segment: str = "all") -> Metric | None:
        """The row, or ``None`` where it was not measured or there was nothing to measure."""
        row = self._by_key.get((task, metric, system, segment))
        return row if row is not None and row.n > 0 else None

    def value(self, task: str, metric: str, system: str = MODEL, segment: str = "all") -> float | None:
        """The value of ``get``."""
        row = self.get(task, metric, system, segment)
        return None if row is None else row.value

    def n(self, task: str, segment: str = "all") -> int:
        """Samples of a task."""
        return max((row.n for row in self.rows if row.task == task and row.segment == segment), default=0)

    def systems(self, task: str) -> list[str]:
        """The systems measured on a task: the model first, then by ``LABELS``, then others by name."""
        found = {row.system for row in self.rows if row.task == task and row.n > 0}
        return [name for name in LABELS if name in found] + sorted(found - set(LABELS))

    def metrics(self, task: str) -> list[str]:
        """The model's metrics on a task, leads left out, in the order in which they were measured."""
        names = (row.metric for row in self.rows if row.task == task and row.system == MODEL and row.segment == "all")
        return [name for name in dict.fromkeys(names) if "_lead_over_" not in name]

    def prefixes(self) -> list[str]:
        """``A``, ``AB``...: the levels of the ladder."""
        names = (row.metric.removeprefix("accuracy_") for row in self.rows if row.metric.startswith("accuracy_"))
        return sorted(dict.fromkeys(names), key=len)

    def best_baseline(self, task: str, metric: str, segment: str = "all") -> Metric | None:
        """The strongest system that is neither the model nor chance."""
        others = [name for name in self.systems(task) if name not in (MODEL, CHANCE)]
        rows = [row for name in others if (row := self.get(task, metric, name, segment)) is not None]
        return max(rows, key=lambda row: row.value, default=None)

    @property
    def cutoff(self) -> int:
        """The cut-off of the headline: 10 where it was measured, otherwise the largest."""
        found = [int(name.removeprefix("recall@")) for name in self.metrics(NEXT_ITEM) if name.startswith("recall@")]
        return 10 if 10 in found or not found else max(found)


def verdict(figures: Figures) -> tuple[str, str]:
    """What came out on the next purchase, whichever way it falls: the figures, and the model against the best baseline."""
    k = figures.cutoff
    metric = f"recall@{k}"
    model = figures.get(NEXT_ITEM, metric)
    if model is None:
        return "There was no next purchase to predict: no data.", ""
    others = [row for name in figures.systems(NEXT_ITEM) if name != MODEL and (row := figures.get(NEXT_ITEM, metric, name))]
    others.sort(key=lambda row: -row.value)
    said = ", ".join(f"{label(row.system)} {percent(row.value)} %" for row in others)
    sentence = f"On next purchase the model finds {percent(model.value)} % of the true items in its top {k}" + (
        f"; {said}." if said else "."
    )
    if not others:
        return sentence, ""
    best = others[0]
    lead = figures.get(NEXT_ITEM, f"{metric}_lead_over_{best.system}")
    assert lead is not None  # measured with every baseline
    name, points = label(best.system), percent(abs(lead.value))
    if "low" not in lead.extra:
        return sentence, f"{model.n} customers are too few for an interval: the difference to {name} may be luck."
    low, high = lead.extra["low"], lead.extra["high"]
    sign = -1 if high < 0 else 1
    span = " to ".join(percent(edge) for edge in sorted((sign * low, sign * high)))
    between = f"95 % interval {span}, {model.n:,} customers"
    if low > 0:
        return sentence, f"The model is ahead of the best baseline, {name}, by {points} points ({between})."
    if high < 0:
        return sentence, f"The model is behind the best baseline, {name}, by {points} points ({between})."
    return sentence, f"The model and the best baseline, {name}, cannot be told apart (difference in points: {between})."
