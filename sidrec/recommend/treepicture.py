"""The beam tree as a picture: an SVG that reads on white and on black, its numbers, and what it shows in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve

from sidrec.drawing import GRID, INK, STYLE, Picture, picture_of
from sidrec.recommend.beamtree import Branch, Left, Level, best_ends, candidates
from sidrec.recommend.explain import Explanation
from sidrec.recommend.treetext import share

# Mid-tones with at least 3:1 against white and against #14161a; told apart by their marks and words as well.
ANSWER, WENT_ON, FILTERED, PRUNED = "#2b9a6c", "#2f86c4", "#d65f1e", "#868d96"
_ROW, _STEP, _TITLE = 0.3, 1.75, 3.9  # inches: height of a row, width of a level and of the titles
_LEAST = 1.1  # rows of a branch: its code stands above its line, its name below
_GAP = 0.35  # behind what did not go on, for the code of the next branch
_ENDS = 60  # ends of branches that are drawn at most, the best ones
_ANSWER_CHARS, _TITLE_CHARS, _NAME_CHARS = 48, 44, 24


@dataclass(slots=True)
class _Place:
    """Where a branch stands: ``x`` its level, ``y`` in rows from the top."""

    branch: Branch
    x: int
    y: float = 0.0
    children: list[_Place] = field(default_factory=list)
    left: list[tuple[float, Left, bool]] = field(default_factory=list)  # y, what, filtered
    hidden: tuple[float, int] | None = None


def tree_picture(explanation: Explanation, root: Branch, levels: Sequence[Level], titles: Sequence[str], asked: str) -> Picture:
    """Draw; ``titles`` are the catalogue's, ``asked`` says of the request what a person would."""
    shown = best_ends(root, _ENDS)
    place, rows = _lay_out(root, 0, 0.0, shown)
    depth = len(levels)
    with mpl.rc_context({**STYLE, "axes.grid": False, "figure.constrained_layout.use": False}):
        width, height = 0.5 + depth * _STEP + _TITLE, 1.2 + _ROW * rows
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(-0.2, (width - 0.5) / _STEP)
        axes.set_ylim(rows + 1.2, -2.5)
        for level in levels:
            at = ascii_uppercase.index(level.name) + 1
            axes.text(at, -1.5, f"level {level.name}", ha="center", fontsize=10, weight="bold")
            axes.text(at, -0.85, f"{level.kept} of {level.considered} went on", ha="center", fontsize=8)
        _draw(axes, place, titles)
        _legend(axes, rows + 0.6)
        alt = _in_words(levels, root, titles, asked)
        table = pl.DataFrame(candidates(explanation))
        return picture_of("beam-tree", f"Beam tree: {asked}", alt, figure, table)


def _legend(axes: Axes, y: float) -> None:
    words = ("leads to the answer", "went on", "pruned", "filtered")
    marks = zip("os.x", (ANSWER, WENT_ON, PRUNED, FILTERED), words, strict=True)
    for at, (mark, colour, said) in enumerate(marks):
        axes.plot(1 + 0.9 * at, y, mark, color=colour, markersize=6)
        axes.text(1.06 + 0.9 * at, y, said, fontsize=8, va="center")


def _lay_out(branch: Branch, depth: int, top: float, shown: set[tuple[int, ...]]) -> tuple[_Place, float]:
    """The place of a branch whose first row is ``top``, and the first row below it."""
    place, at = _Place(branch, depth), top
    for child in branch.children:
        if child.codes in shown:
            below, at = _lay_out(child, depth + 1, at, shown)
            place.children.append(below)
    if hidden := sum(child.codes not in shown for child in branch.children):
        place.hidden = (at, hidden)
        at += 0.7
    for left, filtered in ((branch.pruned, False), (branch.filtered, True)):
        if left:
            place.left.append((at, left, filtered))
            at += 0.7
    if place.left:
        at += _GAP
    at = max(at, top + _LEAST)
    if place.children:
        place.y = (place.children[0].y + place.children[-1].y) / 2
    else:
        place.y = top
    return place, at


def _draw(axes: Axes, place: _Place, titles: Sequence[str]) -> None:
    for below in place.children:
        colour = ANSWER if any(end.ranks for end in below.branch.ends()) else WENT_ON
        _edge(axes, place, below.x, below.y, colour, 0.8 + 6 * below.branch.probability**0.5)
        _draw(axes, below, titles)
    for y, left, filtered in place.left:
        colour = FILTERED if filtered else PRUNED
        _edge(axes, place, place.x + 1, y, colour, 0.7, dashed=True)
        axes.plot(place.x + 1, y, "x" if filtered else ".", color=colour, markersize=6 if filtered else 5)
        said = f"{left.count} {'filtered' if filtered else 'pruned'}, best {left.best} {share(left.probability)} {left.name}"
        axes.text(place.x + 1.06, y, _cut(said, _TITLE_CHARS), fontsize=7.5, color=colour, va="center")
    if place.hidden:
        y, count = place.hidden
        axes.text(place.x + 1.06, y, f"{count} more went on", fontsize=7.5, color=PRUNED, va="center")
    branch = place.branch
    if not place.x:
        axes.plot(0, place.y, "o", color=INK, markersize=7)
        axes.text(0, place.y + 0.6, "request", ha="center", fontsize=9)
        return
    found = any(end.ranks for end in branch.ends())
    axes.plot(place.x, place.y, "o" if found else "s", color=ANSWER if found else WENT_ON, markersize=5)
    if branch.ranks:
        for rank, item in zip(branch.ranks[:1], branch.items[:1], strict=True):
            more = f" and {len(branch.ranks) - 1} more of this semantic ID" if len(branch.ranks) > 1 else ""
            said = f"#{rank}  {share(branch.probability)}  {_cut(titles[item], _ANSWER_CHARS)}{more}"
            axes.text(place.x + 0.07, place.y, said, fontsize=8.5, va="center", color=INK)
        axes.text(place.x - 0.07, place.y - 0.22, branch.label, fontsize=7.5, ha="right", color=INK)
        return
    axes.text(place.x - 0.07, place.y - 0.22, f"{branch.label} {share(branch.probability)}", fontsize=8, ha="right", color=INK)
    if place.children or place.left:
        axes.text(
            place.x - 0.07, place.y + 0.3, _cut(branch.name, _NAME_CHARS), fontsize=7, ha="right", va="center", color=PRUNED
        )
    else:
        axes.text(place.x + 0.07, place.y, _cut(branch.name, _TITLE_CHARS), fontsize=7.5, va="center", color=PRUNED)


def _edge(axes: Axes, place: _Place, x: float, y: float, colour: str, width: float, *, dashed: bool = False) -> None:
    # Up or down first and then along: the text at the other end stands on an even line.
    bend, turn = place.x + 0.12, place.x + 0.4
    curve = Curve([(place.x, place.y), (bend, place.y), (bend, y), (turn, y), (x, y)], [1, 4, 4, 4, 2])
    style = (0, (2, 2)) if dashed else "-"
    colour = GRID if colour == PRUNED else colour
    axes.add_patch(PathPatch(curve, fill=False, edgecolor=colour, linewidth=width, alpha=0.75, linestyle=style, zorder=1))


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"


def _in_words(levels: Sequence[Level], root: Branch, titles: Sequence[str], asked: str) -> str:
    counts = "; ".join(
        f"level {level.name}: {level.considered} candidates, {level.kept} went on, "
        f"{level.pruned.count if level.pruned else 0} pruned, {level.filtered.count if level.filtered else 0} filtered"
        for level in levels
    )
    best = min((end for end in root.ends() if end.ranks), key=lambda end: end.ranks[0], default=None)
    first = f" First of the answer: {titles[best.items[0]]}, {share(best.probability)}." if best else ""
    return f"Tree of the semantic IDs that the search considered. {asked}. {counts[:1].upper()}{counts[1:]}.{first}"
