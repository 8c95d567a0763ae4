"""Outcomes to figures: the rows of ``metrics.json``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from string import ascii_uppercase

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.errors import DataError
from sidrec.evaluate import metrics as m
from sidrec.evaluate.outcomes import MODEL, NextItemOutcome, RunFacts, SidOutcome, TextOutcome
from sidrec.evaluate.suite import CHANCE, CONSTANT, NEAREST_CODE, TASK_K, Baselines
from sidrec.evaluate.texts import exact, nearest_by_code, rouge_l
from sidrec.types import Metric

NEXT_ITEM = "next_item"
RESAMPLES = 1000
FEWEST = 30
"""An interval over fewer users says more than it knows, so none is given."""


def segments(cold_B: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Which samples each segment holds; every sample is in ``all`` and in one of the others."""
    return {"all": np.ones(len(cold_B), dtype=bool), "warm": ~cold_B, "cold": cold_B}


def prefix_name(level: int) -> str:
    """``A``, ``AB``, ``ABC``... for level 0, 1, 2...

    >>> prefix_name(2)
    'ABC'
    """
    return ascii_uppercase[: level + 1]


def next_item_metrics(outcome: NextItemOutcome, cutoffs: Sequence[int], seed: int) -> list[Metric]:
    """Recall and NDCG at the cut-offs and MRR within the lists, for every system and segment.

    ``extra`` holds ``low`` and ``high``, the 95 % percentile interval of a bootstrap over users, where there are at least
    ``FEWEST`` of them. All systems see the same draws, so the rows ``<metric>_lead_over_<system>`` are the paired
    differences, the model's figure less the baseline's.

    Raises:
        DataError: the lists are shorter than a cut-off.
    """
    if outcome.k < max(cutoffs):
        raise DataError(
            f"next item: lists of {outcome.k} items cannot be measured at {max(cutoffs)}; "
            f"set evaluate.beams to {max(cutoffs)} or more"
        )
    systems = list(outcome.ranked)
    names = [f"{kind}@{k}" for k in cutoffs for kind in ("recall", "ndcg")] + [f"mrr@{outcome.k}"]
    per_system = []
    for ranked in outcome.ranked.values():
        ranks = m.ranks(ranked, outcome.truth)
        per_system += [measure(ranks, k) for k in cutoffs for measure in (m.hits, m.gains)] + [m.reciprocals(ranks)]
    values_BM = np.stack(per_system, axis=1)
    rows: list[Metric] = []
    for segment, inside in segments(outcome.cold).items():
        part = values_BM[inside]
        n = len(part)
        means = part.mean(axis=0) if n else np.full(part.shape[1], np.nan)
        draws = m.bootstrap_means(part, np.random.default_rng([seed, 0xB007]), RESAMPLES) if n >= FEWEST else None
        for at, (system, name) in enumerate((s, name) for s in systems for name in names):
            extra = _interval(None if draws is None else draws[:, at])
            rows.append(Metric(system, NEXT_ITEM, name, float(means[at]), n, extra, segment))
            if system != MODEL and MODEL in systems:
                own = systems.index(MODEL) * len(names) + names.index(name)
                lead = _interval(None if draws is None else draws[:, own] - draws[:, at])
                value = float(means[own] - means[at])
                rows.append(Metric(MODEL, NEXT_ITEM, f"{name}_lead_over_{system}", value, n, lead, segment))
    return rows


def _interval(draws: NDArray[np.float64] | None) -> dict[str, float]:
    if draws is None:
        return {}
    low, high = m.interval(draws)
    return {"low": low, "high": high}


def per_user(outcome: NextItemOutcome) -> pl.DataFrame:
    """``per_user.parquet``: user, target item index, and for each system the rank of the target (0: not in its list)."""
    ranks = {f"{c.RANK}_{name}": m.ranks(rows, outcome.truth).astype(np.int32) for name, rows in outcome.ranked.items()}
    return pl.DataFrame({c.USER: list(outcome.users), "target": outcome.truth, "cold": outcome.cold, **ranks})


def sid_metrics(outcome: SidOutcome, baselines: Baselines) -> list[Metric]:
    """The figures of a task that asks for an item.

    ``accuracy_A``, ``accuracy_AB``...: the ladder of the model's unconstrained greedy answer, and of the first item of each
    baseline's list. ``invalid``: share of those greedy answers that are no item. ``hit@10``, ``ndcg@10``: the exact item in
    the list. ``A_hit@10``: the true first code among those of the list. The constant system answers with the commonest
    prefix (``accuracy_``) and the ten commonest first codes; chance with items drawn from the whole catalogue, exactly.
    """
    codes_NL = baselines.codes_NL
    truth_BL = codes_NL[outcome.truth]
    columns: dict[str, dict[str, NDArray[np.float64]]] = {}
    matches = m.prefix_matches(outcome.greedy_codes, truth_BL)
    columns[MODEL] = {
        **_ladder_columns(matches),
        "invalid": (~outcome.valid).astype(np.float64),
        **_list_columns(outcome.ranked, outcome, codes_NL),
    }
    for system, ranked in outcome.baselines.items():
        first = ranked[:, 0] if ranked.shape[1] else np.full(len(ranked), m.PAD)
        answered = np.where(first[:, None] >= 0, codes_NL[first], m.PAD).astype(np.int32)
        ladder = _ladder_columns(m.prefix_matches(answered, truth_BL))
        columns[system] = {**ladder, **_list_columns(ranked, outcome, codes_NL)}
    columns[CONSTANT] = _constant_columns(outcome.task, truth_BL, baselines)
    columns[CHANCE] = chance(codes_NL, outcome.truth)
    return [
        Metric(system, outcome.task, name, m.mean(values[inside]), int(inside.sum()), {}, segment)
        for segment, inside in segments(outcome.cold).items()
        for system, table in columns.items()
        for name, values in table.items()
    ]


def _ladder_columns(matches_BL: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    return {f"accuracy_{prefix_name(at)}": column.astype(np.float64) for at, column in enumerate(matches_BL.T)}


def _list_columns(
    ranked: NDArray[np.int32], outcome: SidOutcome, codes_NL: NDArray[np.int32]
) -> dict[str, NDArray[np.float64]]:
    ranked = ranked[:, :TASK_K]
    ranks = m.ranks(ranked, outcome.truth)
    first_codes = np.where(ranked >= 0, codes_NL[ranked, 0], m.PAD).astype(np.int32)
    return {
        f"hit@{TASK_K}": m.hits(ranks, TASK_K),
        f"ndcg@{TASK_K}": m.gains(ranks, TASK_K),
        f"A_hit@{TASK_K}": m.any_code_hit(first_codes, codes_NL[outcome.truth, 0]),
    }


def _constant_columns(task: str, truth_BL: NDArray[np.int32], baselines: Baselines) -> dict[str, NDArray[np.float64]]:
    columns: dict[str, NDArray[np.float64]] = {}
    for level in range(truth_BL.shape[1]):
        for prefix in baselines.constant_codes(task, level, 1):
            columns[f"accuracy_{prefix_name(level)}"] = (truth_BL[:, : level + 1] == prefix).all(axis=1).astype(np.float64)
    ten = baselines.constant_codes(task, 0, TASK_K)[:, 0]
    columns[f"A_hit@{TASK_K}"] = np.isin(truth_BL[:, 0], ten).astype(np.float64)
    return columns


def chance(codes_NL: NDArray[np.int32], truth_B: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    """Expected figures of items drawn from the catalogue without looking: for each sample, float64 ``(B,)``.

    With N items of which g share the truth's prefix: accuracy ``g / N``; hit@10 ``10 / N``; NDCG@10
    ``sum(1 / log2(1 + r)) / N`` over ranks 1 to 10; A-level hit@10 ``1 - C(N - g, 10) / C(N, 10)``.

    >>> codes = np.array([[0, 0], [0, 1], [1, 0], [2, 0]], dtype=np.int32)
    >>> chance(codes, np.array([0], dtype=np.int32))["accuracy_A"].tolist()
    [0.5]
    """
    n, levels = codes_NL.shape
    columns: dict[str, NDArray[np.float64]] = {}
    for level in range(levels):
        _, group_N, size = np.unique(codes_NL[:, : level + 1], axis=0, return_inverse=True, return_counts=True)
        columns[f"accuracy_{prefix_name(level)}"] = size[group_N.ravel()[truth_B]] / n
    drawn = np.arange(min(TASK_K, n))
    ones = np.ones(len(truth_B))
    columns[f"hit@{TASK_K}"] = ones * len(drawn) / n
    columns[f"ndcg@{TASK_K}"] = ones * float((1.0 / np.log2(2.0 + drawn)).sum()) / n
    others_B = n - columns["accuracy_A"] * n
    missed = np.maximum(others_B[:, None] - drawn, 0.0) / (n - drawn)
    columns[f"A_hit@{TASK_K}"] = 1.0 - missed.prod(axis=1)
    return columns


def text_metrics(outcome: TextOutcome, baselines: Baselines) -> list[Metric]:
    """``rouge_l`` (F1) and ``exact`` of a task that asks for text, beside the text of another item with the nearest code.

    The baseline answers with the text of the warm item, itself left out, that shares the longest prefix of codes; see
    ``nearest_by_code``.
    """
    has_text = np.array([bool(text) for text in outcome.item_texts], dtype=bool)
    if len(has_text) != len(baselines.codes_NL):
        raise DataError(f"{outcome.task}: {len(has_text)} item texts for {len(baselines.codes_NL)} items")
    nearest = nearest_by_code(baselines.codes_NL, baselines.warm & has_text)[outcome.truth]
    answered = [outcome.item_texts[item] if item >= 0 else "" for item in nearest.tolist()]
    columns = {
        system: {"rouge_l": rouge_l(texts, outcome.references), "exact": exact(texts, outcome.references)}
        for system, texts in ((MODEL, outcome.generated), (NEAREST_CODE, answered))
    }
    return [
        Metric(system, outcome.task, name, m.mean(values[inside]), int(inside.sum()), {}, segment)
        for segment, inside in segments(outcome.cold).items()
        for system, table in columns.items()
        for name, values in table.items()
    ]


def as_json(rows: Sequence[Metric], facts: RunFacts) -> dict[str, object]:
    """``metrics.json``: ``{"format": 1, "about": {facts}, "rows": [{system, task, segment, metric, value, n, ...}]}``.

    ``value`` is null where ``n`` is 0: no data is not zero. ``low`` and ``high`` stand beside a value that has an interval.
    """
    return {"format": 1, "about": asdict(facts), "rows": list(_json_rows(rows))}


def _json_rows(rows: Sequence[Metric]) -> Iterator[dict[str, object]]:
    for row in rows:
        value = None if math.isnan(row.value) else row.value
        yield {
            "system": row.system, "task": row.task, "segment": row.segment, "metric": row.metric,
            "value": value, "n": row.n, **row.extra,
        }  # fmt: skip
