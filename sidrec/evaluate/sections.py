"""The tables of the report: figures as cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidrec.evaluate.figures import NO_DATA, SID_TASKS, Figures, label
from sidrec.evaluate.outcomes import MODEL
from sidrec.evaluate.score import NEXT_ITEM
from sidrec.evaluate.suite import CHANCE, CONSTANT, COOCCURRENCE, NEAREST_CODE, NEAREST_VECTORS, POPULARITY, SID_TO_TEXT, TASK_K
from sidrec.page import percent

Table = dict[str, Any]
"""What the template's table macro takes: ``head``, and ``rows`` of cells; a cell is text and whether it is the best."""


def _cells(values: Sequence[float | None], contest: Sequence[bool] | None = None) -> list[tuple[str, bool]]:
    """Shares as cells; among those in the contest the best is marked."""
    rivals = [v for v, inside in zip(values, contest or [False] * len(values), strict=True) if inside and v is not None]
    best = max(rivals, default=None)
    inside = contest or [False] * len(values)
    return [(percent(v), bool(i and best and v == best)) for v, i in zip(values, inside, strict=True)]


def tiles(figures: Figures) -> list[tuple[str, str, str]]:
    """The key figures at the top: name, value, what stands beside it."""
    tiles: list[tuple[str, str, str]] = []
    for name in (f"recall@{figures.cutoff}", f"ndcg@{figures.cutoff}"):
        model, best = figures.value(NEXT_ITEM, name), figures.best_baseline(NEXT_ITEM, name)
        if model is not None:
            beside = f"best baseline, {label(best.system)}: {percent(best.value)} %" if best else "no baseline"
            tiles.append((f"next purchase, {_metric(name)}", f"{percent(model)} %", beside))
    shares = [v for task in SID_TASKS if (v := figures.value(task, "invalid")) is not None]
    if shares:
        span = f"{percent(min(shares))} to {percent(max(shares))} %" if min(shares) < max(shares) else f"{percent(shares[0])} %"
        tiles.append(("semantic IDs that are no item", span, "in unconstrained decoding; none with the catalogue’s constraint"))
    hits = [v for task in SID_TASKS[:3] if (v := figures.value(task, f"hit@{TASK_K}")) is not None]
    if hits:
        span = f"{percent(min(hits))} to {percent(max(hits))} %" if min(hits) < max(hits) else f"{percent(hits[0])} %"
        tiles.append((f"text to item, exact in {TASK_K}", span, f"over {len(hits)} tasks"))
    return tiles


def _metric(name: str) -> str:
    kind, _, k = name.partition("@")
    return f"{ {'recall': 'Recall', 'ndcg': 'NDCG', 'mrr': 'MRR'}.get(kind, kind) }@{k}"


def next_item(figures: Figures) -> Table:
    """Every system on the next purchase, with intervals."""
    metrics, systems = figures.metrics(NEXT_ITEM), figures.systems(NEXT_ITEM)
    best = (
        {name: max(v for s in systems if (v := figures.value(NEXT_ITEM, name, s)) is not None) for name in metrics}
        if systems
        else {}
    )
    rows = []
    for system in systems:
        cells = []
        for name in metrics:
            row = figures.get(NEXT_ITEM, name, system)
            assert row is not None  # every system has every metric
            span = f" ({percent(row.extra['low'], 2)}–{percent(row.extra['high'], 2)})" if "low" in row.extra else ""
            cells.append((percent(row.value, 2) + span, row.value == best[name] > 0))
        rows.append((label(system), cells))
    return {"head": ["system", *(_metric(name) for name in metrics)], "rows": rows, "n": figures.n(NEXT_ITEM)}


def _rows(figures: Figures, tasks: Sequence[str], cells: Any) -> list[tuple[str, list[tuple[str, bool]]]]:
    return [(task, [(f"{n:,}", False), *cells(task)] if (n := figures.n(task)) else []) for task in tasks]


def exact(figures: Figures) -> Table:
    """The exact item among ten, beside every baseline."""
    hit, ndcg = f"hit@{TASK_K}", f"ndcg@{TASK_K}"
    rivals = (MODEL, COOCCURRENCE, NEAREST_VECTORS, POPULARITY)

    def cells(task: str) -> list[tuple[str, bool]]:
        hits = [figures.value(task, hit, system) for system in rivals]
        gains = [figures.value(task, ndcg, system) for system in (MODEL,)]
        best = figures.best_baseline(task, ndcg)
        return [
            *_cells(hits, [True] * len(hits)),
            *_cells([figures.value(task, hit, CHANCE)]),
            *_cells([*gains, best.value if best else None], [True, True]),
        ]

    head = ["task", "samples", *(label(s) for s in rivals), "chance", "NDCG, model", "NDCG, best baseline"]
    return {"head": head, "rows": _rows(figures, SID_TASKS, cells)}


def ladder(figures: Figures) -> Table:
    """How much of the code is right, beside the constants and chance."""
    prefixes = figures.prefixes()

    def cells(task: str) -> list[tuple[str, bool]]:
        steps = [figures.value(task, f"accuracy_{prefix}") for prefix in prefixes]
        first = f"accuracy_{prefixes[0]}"
        best = figures.best_baseline(task, first)
        ten = [figures.value(task, f"A_hit@{TASK_K}", system) for system in (MODEL, CONSTANT)]
        return [
            *_cells(steps),
            (f"{percent(best.value)} ({label(best.system)})" if best else "–", False),
            *_cells([figures.value(task, first, CHANCE)]),
            *_cells(ten, [True, True]),
        ]

    head = ["task", "samples", *prefixes, "A, best baseline", "A, chance", f"A in {TASK_K} beams", f"A in {TASK_K} constants"]
    return {"head": head, "rows": _rows(figures, SID_TASKS, cells)}


def invalid(figures: Figures) -> Table:
    """Share of unconstrained answers that are no item."""

    def cells(task: str) -> list[tuple[str, bool]]:
        return _cells([figures.value(task, "invalid", segment=segment) for segment in ("all", "warm", "cold")])

    return {"head": ["task", "samples", "all", "warm items", "cold items"], "rows": _rows(figures, SID_TASKS, cells)}


def text(figures: Figures) -> Table:
    """The tasks that ask for text."""

    def cells(task: str) -> list[tuple[str, bool]]:
        scores = [figures.value(task, "rouge_l", system) for system in (MODEL, NEAREST_CODE)]
        same = [figures.value(task, "exact", system) for system in (MODEL, NEAREST_CODE)]
        cold = [figures.value(task, "rouge_l", system, "cold") for system in (MODEL, NEAREST_CODE)]
        return [*_cells(scores, [True, True]), *_cells(same, [True, True]), *_cells(cold, [True, True])]

    columns = ("ROUGE-L", "exact", "ROUGE-L, cold items")
    head = ["task", "samples", *(f"{column}, {who}" for column in columns for who in ("model", label(NEAREST_CODE)))]
    return {"head": head, "rows": _rows(figures, SID_TO_TEXT, cells)}


def cold(figures: Figures) -> Table:
    """The model and the best baseline on warm and on cold items."""
    hit = f"hit@{TASK_K}"

    def cells(task: str) -> list[tuple[str, bool]]:
        made: list[tuple[str, bool]] = []
        for segment in ("warm", "cold"):
            best = figures.best_baseline(task, hit, segment)
            made.append((f"{figures.n(task, segment):,}" if figures.n(task, segment) else NO_DATA, False))
            made += _cells([figures.value(task, "accuracy_A", segment=segment)])
            made += _cells([figures.value(task, hit, segment=segment), best.value if best else None], [True, True])
        return made

    def next_item() -> list[tuple[str, bool]]:
        name, made = f"recall@{figures.cutoff}", []
        for segment in ("warm", "cold"):
            best = figures.best_baseline(NEXT_ITEM, name, segment)
            values = [figures.value(NEXT_ITEM, name, segment=segment), best.value if best else None]
            made += [(f"{figures.n(NEXT_ITEM, segment):,}" if figures.n(NEXT_ITEM, segment) else NO_DATA, False), ("–", False)]
            made += _cells(values, [True, True])
        return made

    rows = [(task, cells(task) if figures.n(task) else []) for task in SID_TASKS]
    rows.insert(0, ("next purchase", next_item() if figures.n(NEXT_ITEM) else []))
    columns = ("samples", "A", hit, f"{hit}, best baseline")
    return {"head": ["task", *(f"{segment}: {name}" for segment in ("warm", "cold") for name in columns)], "rows": rows}


def of_rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A list of alike objects as a table, the first key in front; a key that a row lacks is left empty."""
    head = list(dict.fromkeys(key for row in rows for key in row))
    cells = [
        (short(row.get(head[0], "")), [(short(row[key]) if key in row else "", False) for key in head[1:]]) for row in rows
    ]
    return {"head": head, "rows": cells}


def short(value: object) -> str:
    """A value as a person reads it.

    >>> short(12101), short(0.93412345), short(True), short("A")
    ('12,101', '0.9341', 'True', 'A')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
