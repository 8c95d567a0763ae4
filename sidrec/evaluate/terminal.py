"""The same figures on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sidrec.evaluate.figures import NO_DATA, SID_TASKS, Figures, label, verdict
from sidrec.evaluate.outcomes import MODEL
from sidrec.evaluate.score import NEXT_ITEM
from sidrec.evaluate.suite import CONSTANT, NEAREST_CODE, NEAREST_VECTORS, SID_TO_TEXT, TASK_K
from sidrec.page import percent

_SHORT = {NEAREST_VECTORS: "vectors"}


def terminal_tables(document: Mapping[str, Any]) -> list[RenderableType]:
    """A ``metrics.json`` to print: the next purchase and its verdict, the tasks that ask for an item, and for text."""
    figures = Figures.from_json(document)
    return [_next_item(figures), Text(" ".join(verdict(figures))), _sid_tasks(figures), _text_tasks(figures)]


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _next_item(figures: Figures) -> Table:
    metrics = figures.metrics(NEXT_ITEM)
    n = figures.n(NEXT_ITEM)
    title = f"Next purchase, {n:,} customers, %" if n else f"Next purchase: {NO_DATA}"
    table = _table(title, "system", *(_short(name) for name in metrics))
    for system in figures.systems(NEXT_ITEM):
        cells = [percent(figures.value(NEXT_ITEM, name, system), 2) for name in metrics]
        table.add_row(label(system), *cells, style="bold" if system == MODEL else "")
    return table


def _short(metric: str) -> str:
    name, _, k = metric.partition("@")
    return f"{ {'recall': 'R', 'ndcg': 'N', 'mrr': 'MRR'}.get(name, name) }@{k}"


def _sid_tasks(figures: Figures) -> Table:
    title = f"Tasks that ask for an item, % (A: first code right; hit: exact item in {TASK_K})"
    table = _table(title, "task", "samples", "A", "const.", f"hit@{TASK_K}", "best baseline", "invalid")
    for task in SID_TASKS:
        n = figures.n(task)
        if not n:
            table.add_row(task, NO_DATA)
            continue
        best = figures.best_baseline(task, f"hit@{TASK_K}")
        table.add_row(
            task,
            f"{n:,}",
            percent(figures.value(task, "accuracy_A")),
            percent(figures.value(task, "accuracy_A", CONSTANT)),
            percent(figures.value(task, f"hit@{TASK_K}")),
            f"{percent(best.value)} {_SHORT.get(best.system, label(best.system))}" if best else "–",
            percent(figures.value(task, "invalid")),
        )
    return table


def _text_tasks(figures: Figures) -> Table:
    table = _table("Tasks that ask for text, %", "task", "samples", "ROUGE-L", "nearest code’s text", "exact")
    for task in SID_TO_TEXT:
        n = figures.n(task)
        if not n:
            table.add_row(task, NO_DATA)
            continue
        shares = (("rouge_l", MODEL), ("rouge_l", NEAREST_CODE), ("exact", MODEL))
        table.add_row(task, f"{n:,}", *(percent(figures.value(task, metric, system)) for metric, system in shares))
    return table
