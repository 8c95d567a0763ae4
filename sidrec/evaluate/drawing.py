"""What the report's pictures have in common: a colour and a marker for each system, and the dumbbell picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import polars as pl

from sidrec.drawing import GRID, STYLE, Picture, as_percent, picture_of, sheet
from sidrec.evaluate.outcomes import MODEL
from sidrec.evaluate.suite import CHANCE, CONSTANT, COOCCURRENCE, NEAREST_VECTORS, POPULARITY
from sidrec.page import percent

# Mid-tones with at least 3:1 against white and against #14161a; told apart by marker as well as by colour.
COLOURS = {
    MODEL: "#d65f1e",
    COOCCURRENCE: "#2f86c4",
    NEAREST_VECTORS: "#2b9a6c",
    POPULARITY: "#868d96",
    CONSTANT: "#a06cd0",
    CHANCE: "#868d96",
}
MARKERS = {MODEL: "o", COOCCURRENCE: "s", NEAREST_VECTORS: "^", POPULARITY: "D", CONSTANT: "v", CHANCE: "x"}


def dumbbells(
    name: str, title: str, metric: str, tasks: Sequence[str], series: Mapping[str, tuple[Sequence[float | None], str]]
) -> Picture:
    """A line a task, a point a series; ``series``: name -> values and the system whose colour and marker it takes."""
    with mpl.rc_context(STYLE):
        figure = sheet(1.1 + 0.33 * len(tasks))
        axes = figure.subplots()
        for at in range(len(tasks)):
            found = [v for values, _ in series.values() if (v := values[at]) is not None]
            axes.plot([min(found), max(found)], [at, at], color=GRID, linewidth=1.2, zorder=1)
        for text, (values, style) in series.items():
            shown = [float("nan") if value is None else value for value in values]
            axes.plot(shown, range(len(tasks)), MARKERS[style], color=COLOURS[style], label=text, markersize=7)
        axes.set_yticks(range(len(tasks)), tasks)
        axes.invert_yaxis()
        as_percent(axes)
        axes.margins(x=0.05)
        axes.set_xlim(left=0)
        figure.legend(loc="outside upper left", ncols=2)
    table = pl.DataFrame(
        {"task": list(tasks), "metric": [metric] * len(tasks), **{text: list(values) for text, (values, _) in series.items()}}
    )
    said = "; ".join(
        f"{task}: " + ", ".join(f"{text} {percent(values[at])} %" for text, (values, _) in series.items())
        for at, task in enumerate(tasks)
    )
    return picture_of(name, title, f"Points of {metric} a task. {said}.", figure, table)
