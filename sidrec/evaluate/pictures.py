"""The report's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.ticker import MaxNLocator

from sidrec.drawing import INK, STYLE, Picture, as_percent, legend_above, picture_of, sheet
from sidrec.evaluate.drawing import COLOURS, MARKERS, dumbbells
from sidrec.evaluate.figures import LABELS, SID_TASKS, Figures, label
from sidrec.evaluate.outcomes import MODEL
from sidrec.evaluate.score import NEXT_ITEM
from sidrec.evaluate.suite import CHANCE, CONSTANT, COOCCURRENCE, POPULARITY, TASK_K
from sidrec.page import percent

_CURVE_POINTS = 400
_CURVES = (("loss", "training", "-", MODEL), ("valid_loss", "validation", "o-", COOCCURRENCE))


def draw(figures: Figures, training: Sequence[Mapping[str, Any]]) -> dict[str, Picture]:
    """Every picture that has data, by name; ``training``: rows of ``metrics.jsonl``."""
    drawn = (
        next_item_picture(figures),
        ladder_picture(figures),
        constant_picture(figures),
        cold_picture(figures),
        training_picture(training),
    )
    return {picture.name: picture for picture in drawn if picture is not None}


def next_item_picture(figures: Figures) -> Picture | None:
    """Recall and NDCG of every system with their intervals; ``None`` without data."""
    systems, k = figures.systems(NEXT_ITEM)[::-1], figures.cutoff
    if not systems:
        return None
    rows = [row for name in (f"recall@{k}", f"ndcg@{k}") for s in systems if (row := figures.get(NEXT_ITEM, name, s))]
    with mpl.rc_context(STYLE):
        figure = sheet(0.9 + 0.36 * len(systems))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (metric, name) in zip(panels, ((f"recall@{k}", f"Recall@{k}"), (f"ndcg@{k}", f"NDCG@{k}")), strict=True):
            for at, row in ((systems.index(r.system), r) for r in rows if r.metric == metric):
                colour = COLOURS.get(row.system, COLOURS[POPULARITY])
                axes.barh(at, row.value, height=0.56, color=colour, alpha=0.85)
                if "low" in row.extra:
                    axes.plot(
                        [row.extra["low"], row.extra["high"]], [at, at], color=INK, linewidth=1.4, marker="|", markersize=7
                    )
            axes.set_yticks(range(len(systems)), [label(s) for s in systems])
            axes.set_title(name)
            as_percent(axes)
    said = ", ".join(f"{label(r.system)} {percent(r.value)} %" for r in reversed(rows) if r.metric == f"recall@{k}")
    table = pl.DataFrame(
        {
            "system": [r.system for r in rows],
            "metric": [r.metric for r in rows],
            "value": [r.value for r in rows],
            "low": [r.extra.get("low") for r in rows],
            "high": [r.extra.get("high") for r in rows],
            "n": [r.n for r in rows],
        },
        schema_overrides={"low": pl.Float64(), "high": pl.Float64()},
    )
    alt = f"Bars of Recall@{k} and NDCG@{k} on next purchase, with 95 % intervals. Recall@{k}: {said}."
    return picture_of("next_item", "Next purchase: model and baselines", alt, figure, table)


def _tasks(figures: Figures) -> list[str]:
    return [task for task in SID_TASKS if figures.n(task)]


def ladder_picture(figures: Figures) -> Picture | None:
    """Accuracy at A, AB, ABC... of the model, the baselines' first item, a constant answer and chance, a panel a task."""
    tasks, prefixes = _tasks(figures), figures.prefixes()
    if not tasks:
        return None
    rows = []
    with mpl.rc_context(STYLE):
        lines = -(-len(tasks) // 2)
        figure = sheet(0.5 + 1.75 * lines)
        grid = figure.subplots(lines, 2, squeeze=False).ravel()
        for axes, task in zip(grid, tasks, strict=False):
            for system in reversed(figures.systems(task)):  # the model last, so on top
                values = [figures.value(task, f"accuracy_{prefix}", system) for prefix in prefixes]
                shown = [float("nan") if value is None else value for value in values]
                style = ":" if system == CHANCE else "-"
                axes.plot(
                    prefixes,
                    shown,
                    style,
                    color=COLOURS.get(system),
                    marker=MARKERS.get(system),
                    label=label(system),
                    markersize=5,
                )
                rows += [(task, system, prefix, value) for prefix, value in zip(prefixes, values, strict=True)]
            axes.set_title(task)
            as_percent(axes, "y")
        for axes in grid[len(tasks) :]:
            axes.set_visible(False)
        legend_above(figure, grid[: len(tasks)], list(LABELS.values()))
    table = pl.DataFrame(
        rows, schema={"task": pl.String(), "system": pl.String(), "prefix": pl.String(), "accuracy": pl.Float64()}, orient="row"
    )
    first = prefixes[0]
    said = "; ".join(
        f"{task}: model {percent(figures.value(task, f'accuracy_{first}'))} %, "
        f"constant {percent(figures.value(task, f'accuracy_{first}', CONSTANT))} %, "
        f"chance {percent(figures.value(task, f'accuracy_{first}', CHANCE))} %"
        for task in tasks
    )
    alt = f"Lines of accuracy by length of the prefix, one panel a task. At {first}: {said}."
    return picture_of("ladder", "The ladder: how much of the code is right", alt, figure, table)


def constant_picture(figures: Figures) -> Picture | None:
    """A-level hit@10: the model's list against ten constant answers and ten items by chance."""
    tasks, metric = _tasks(figures), f"A_hit@{TASK_K}"
    if not tasks:
        return None
    series = {s: [figures.value(task, metric, s) for task in tasks] for s in (MODEL, CONSTANT, CHANCE)}
    title = "First code: ten beams against ten constant answers"
    return dumbbells("constant", title, metric, tasks, {label(s): (values, s) for s, values in series.items()})


def cold_picture(figures: Figures) -> Picture | None:
    """The model's first code on warm and on cold items."""
    tasks = [task for task in _tasks(figures) if figures.n(task, "cold") and figures.n(task, "warm")]
    if not tasks:
        return None
    warm = [figures.value(task, "accuracy_A", segment="warm") for task in tasks]
    cold = [figures.value(task, "accuracy_A", segment="cold") for task in tasks]
    chance = [figures.value(task, "accuracy_A", CHANCE, "cold") for task in tasks]
    series = {
        "model, warm items": (warm, MODEL),
        "model, cold items": (cold, COOCCURRENCE),
        "chance, cold items": (chance, CHANCE),
    }
    return dumbbells("cold", "Items whose text was never seen: first code right", "accuracy_A", tasks, series)


def training_picture(rows: Sequence[Mapping[str, Any]]) -> Picture | None:
    """Training and validation loss by step, a panel a stage; ``rows`` are those of ``metrics.jsonl``.

    A row carries the latest ``valid_loss`` along, so a validation is where it changes. A long run is drawn, and its CSV
    written, as means over equal numbers of steps, ``_CURVE_POINTS`` a stage at most.
    """
    losses = _losses(rows)
    if losses.is_empty():
        return None
    stages = losses["stage"].unique(maintain_order=True).to_list()
    said = []
    with mpl.rc_context(STYLE):
        figure = sheet(2.6)
        panels = figure.subplots(1, len(stages), squeeze=False, width_ratios=[2] + [3] * (len(stages) - 1)).ravel()
        for axes, stage in zip(panels, stages, strict=True):
            for column, name, style, colour in (
                ("loss", "training", "-", MODEL),
                ("valid_loss", "validation", "o-", COOCCURRENCE),
            ):
                points = losses.filter((pl.col("stage") == stage) & pl.col(column).is_not_null()).select("step", column).rows()
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=COLOURS[colour], label=name, markersize=4, linewidth=1.4)
                    (first, begun), (last, ended) = points[0], points[-1]
                    said.append(f"{stage}, {name}: {begun:.3f} at step {first}, {ended:.3f} at step {last}")
            axes.set_title(stage)
            axes.set_xlabel("step")
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        panels[0].set_ylabel("loss a token, nats")
        legend_above(figure, panels, ("training", "validation"))
    return picture_of("training", "Training", f"Loss by step. {'; '.join(said)}.", figure, losses)


def _losses(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """stage, step, loss, valid_loss (null between validations), thinned."""
    schema = {"stage": pl.String(), "step": pl.Int64(), "loss": pl.Float64(), "valid_loss": pl.Float64()}
    kept = [(str(row.get("stage", "")), row["step"], row.get("loss"), row.get("valid_loss")) for row in rows if "step" in row]
    table = pl.DataFrame(kept, schema=schema, orient="row")
    finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in ("loss", "valid_loss")]
    table = table.with_columns(finite).filter(pl.col("loss").is_not_null() | pl.col("valid_loss").is_not_null())
    carried = pl.col("valid_loss").shift(1).over("stage")
    table = table.with_columns(pl.when(pl.col("valid_loss").ne_missing(carried)).then(pl.col("valid_loss")).alias("valid_loss"))
    every = (pl.len().over("stage") + _CURVE_POINTS - 1) // _CURVE_POINTS
    group = pl.int_range(pl.len()).over("stage") // every
    means = table.group_by("stage", group.alias("group"), maintain_order=True)
    return means.agg(pl.col("step").last(), pl.col("loss").mean(), pl.col("valid_loss").drop_nulls().last()).drop("group")
