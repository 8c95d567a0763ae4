"""How pictures are drawn: SVG made once, readable on white and on black, each with its numbers and its text in words.

Ink and grid lines are drawn in two marker colours. In a page these become CSS variables, so one drawing follows the
reader's light or dark setting; in the file of the picture they become mid-tones. Nothing depends on the clock: the same
figures give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, GRID = "#010203", "#040506"
STYLE: Any = {
    "font.family": ["DejaVu Sans"], "font.size": 11, "svg.fonttype": "none", "text.parse_math": False,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": GRID, "grid.color": GRID, "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False, "legend.fontsize": 10,
    "lines.linewidth": 1.8, "lines.markersize": 6, "figure.facecolor": "none", "axes.facecolor": "none",
    "savefig.facecolor": "none", "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.06,
    "figure.constrained_layout.hspace": 0.06,
}  # fmt: skip
_WIDTH = 5.6  # inches of 72 units: at the 360 pixels of a phone the text is still 9 to 10 pixels high


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing (``svg`` for the page, ``file`` to stand alone), its numbers, and what it shows in words."""

    name: str
    title: str
    alt: str
    svg: str
    file: bytes
    table: pl.DataFrame

    @property
    def csv(self) -> bytes:
        """The numbers that were drawn."""
        return self.table.write_csv().encode()


def picture_of(name: str, title: str, alt: str, figure: Figure, table: pl.DataFrame) -> Picture:
    """Render ``figure``; ``table`` holds the numbers that were drawn, ``alt`` says them in words."""
    buffer = io.BytesIO()
    # hashsalt: the ids of clip paths, the same every time and different between pictures of one page
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    drawn = buffer.getvalue().decode().replace("'DejaVu Sans'", "system-ui, sans-serif")
    return picture_from_svg(name, title, alt, drawn, table)


def picture_from_svg(name: str, title: str, alt: str, drawn: str, table: pl.DataFrame) -> Picture:
    """The same for SVG drawn by hand in ``INK`` and ``GRID``; text in it must be escaped already."""
    page = drawn[drawn.index("<svg") :]
    page = re.sub(r"<metadata>.*?</metadata>", "", page, flags=re.DOTALL)
    opening, rest = page[: page.index(">")], page[page.index(">") :]
    opening = re.sub(r' xmlns(:\w+)?="[^"]*"', "", opening)  # HTML needs no namespaces, and the page names no address
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    page = opening.replace("<svg", '<svg aria-hidden="true"', 1) + rest
    page = page.replace(INK, "var(--ink)").replace(GRID, "var(--line)")
    file = drawn.replace(INK, "#70777f").replace(GRID, "#9aa1a8")
    return Picture(name, title, alt, page, file.encode(), table)


def sheet(height: float) -> Figure:
    """An empty drawing, ``height`` inches high."""
    return Figure(figsize=(_WIDTH, height))


def as_percent(axes: Axes, axis: str = "x") -> None:
    """The axis of the values: from zero, in per cent, with grid lines across it alone."""
    which = axes.xaxis if axis == "x" else axes.yaxis
    which.set_major_locator(MaxNLocator(4, min_n_ticks=3))
    which.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    if axis == "x":
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
    else:
        axes.set_ylim(bottom=0)
        axes.grid(visible=False, axis="x")


def legend_above(figure: Figure, panels: Iterable[Axes], order: Sequence[str]) -> None:
    """One legend for several panels, in a given order of names."""
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= {text: line for line, text in zip(*axes.get_legend_handles_labels(), strict=True) if text not in handles}
    names = [name for name in order if name in handles]
    figure.legend([handles[name] for name in names], names, loc="outside upper left", ncols=3)
