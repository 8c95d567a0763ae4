"""How the codes of each level are used: a square a code, in the order of the codes."""

from __future__ import annotations

import math
from string import ascii_uppercase

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec.drawing import GRID, INK, Picture, picture_from_svg
from sidrec.quantize.prefixes import usage
from sidrec.types import ItemCodes

STEPS = (
    (0.0, "unused"),
    (0.25, "under ¼"),
    (0.5, "¼ to ½"),
    (1.0, "½ to 1"),
    (2.0, "1 to 2"),
    (4.0, "2 to 4"),
    (math.inf, "over 4"),
)
"""Upper ends of the steps, in units of what each code would have if all were used alike, and their names."""
# One hue from pale to dark can be ordered without seeing colours; unused codes are empty squares. Mid-tones at both ends:
# the palest and the darkest can be told from white and from black.
_EMPTY = f'fill="none" stroke="{GRID}"'
_FILLS = ("none", "#f6c9a0", "#f0a868", "#e2853c", "#bf6322", "#8f4714", "#64300b")
_WIDE, _MARGIN, _TITLE, _KEY = 400.0, 30.0, 22.0, 34.0
_NARROW = 16  # panels of so many squares a row stand two by two


def heat_map(codes: ItemCodes) -> Picture:
    """A panel a learned level; the tie level, whose low codes are used most by design, is left out."""
    levels = codes.learned.shape[1]
    counts = usage(codes)[:levels]
    parts: list[str] = []
    tables: list[pl.DataFrame] = []
    said: list[str] = []
    top = _KEY
    place = 0  # in the row of two
    tallest = 0.0
    for level, items in enumerate(counts):
        name = ascii_uppercase[level]
        step = steps(items)
        size = len(items)
        share = 1 if columns(size) > _NARROW else 2
        if place + 2 // share > 2:
            top, place, tallest = top + tallest, 0, 0.0
        panel, height = _panel(name, items, step, place * _WIDE / 2, top, _WIDE / share)
        parts.append(panel)
        place, tallest = place + 2 // share, max(tallest, height)
        tables.append(
            pl.DataFrame(
                {
                    "level": [name] * size,
                    "code": np.arange(size),
                    "items": items,
                    "of_even": np.round(items * size / max(codes.n_items, 1), 4),
                    "step": [STEPS[one][1] for one in step.tolist()],
                }
            )
        )
        most = int(items.argmax())
        said.append(
            f"level {name}: {int((items == 0).sum()):,} of {size:,} codes unused, {int((step == 1).sum()):,} under a quarter "
            f"of an even share, {int((step >= 5).sum()):,} over twice it; the most used is {name}{most} with "
            f"{int(items[most]):,} items"
        )
    top += tallest
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE:g} {top:.1f}" '
        f'width="{2 * _WIDE:g}" height="{2 * top:.0f}" '
        f'font-family="system-ui, sans-serif" font-size="10" fill="{INK}">{_key()}{"".join(parts)}</svg>'
    )
    alt = f"A square for each code, darker where more items use it. {'; '.join(said)}."
    return picture_from_svg("heat", "Use of each code, level by level", alt, drawn, pl.concat(tables))


def steps(items: NDArray[np.int64]) -> NDArray[np.int64]:
    """The step of each code: int64 ``(size,)``.

    >>> steps(np.array([0, 1, 2, 4, 5, 9, 27, 0])).tolist()  # an even share is 6
    [0, 1, 2, 3, 3, 4, 6, 0]
    """
    even = items.sum() / len(items)
    share = items / even if even else items.astype(np.float64)
    found = np.searchsorted([end for end, _ in STEPS[1:]], share, side="left") + 1
    return np.where(items == 0, 0, found).astype(np.int64)


def columns(size: int) -> int:
    """Squares a row: as many as rows where the size is a square, otherwise a power of two with a wide panel.

    >>> [columns(size) for size in (256, 64, 8192, 512, 100, 300, 1)]
    [16, 8, 128, 32, 16, 32, 1]
    """
    return 1 << math.ceil(math.log2(size) / 2)


def _panel(
    name: str, items: NDArray[np.int64], step: NDArray[np.int64], left: float, top: float, wide: float
) -> tuple[str, float]:
    size, across = len(items), columns(len(items))
    rows = -(-size // across)
    side = min((wide - _MARGIN - 6) / across, 20.0)
    gap = side * 0.08
    used = int((items > 0).sum())
    parts = [
        f'<text x="{left + _MARGIN:g}" y="{top + 13:.1f}" font-size="11" font-weight="bold">'
        f"{name}: {used:,} of {size:,} used</text>",
        f'<g transform="translate({left + _MARGIN:g} {top + _TITLE:.1f}) scale({side:.4f})">',
        f'<path {_EMPTY} stroke-width=".1" d="{_squares(np.flatnonzero(step == 0), across, 0.2)}"/>',
    ]
    for which in range(1, len(STEPS)):
        codes = np.flatnonzero(step == which)
        if len(codes):
            parts.append(f'<path fill="{_FILLS[which]}" d="{_squares(codes, across, gap / side)}"/>')
    parts.append("</g>")
    every = max(1, math.ceil(12 / side))
    if rows > 4 * every:
        every = 1 << math.ceil(math.log2(rows / 4))
    for row in range(0, rows, every):
        y = top + _TITLE + (row + 0.5) * side + 3.2
        parts.append(f'<text x="{left + _MARGIN - 4:g}" y="{y:.1f}" font-size="9" text-anchor="end">{row * across}</text>')
    return "".join(parts), _TITLE + rows * side + 10


def _squares(codes: NDArray[np.int64], across: int, gap: float) -> str:
    wide = f"{1 - 2 * gap:.2f}".lstrip("0")
    return "".join(f"M{code % across + gap:.2f} {code // across + gap:.2f}h{wide}v{wide}h-{wide}z" for code in codes.tolist())


def _key() -> str:
    parts = ['<text x="0" y="10">items a code, beside an even share:</text>']
    wide = _WIDE / len(STEPS)
    for which, (_, name) in enumerate(STEPS):
        x = which * wide
        fill = _EMPTY if which == 0 else f'fill="{_FILLS[which]}"'
        inset = 1 if which == 0 else 0
        parts.append(f'<rect x="{x + inset:.1f}" y="{16 + inset}" width="{10 - 2 * inset}" height="{10 - 2 * inset}" {fill}/>')
        parts.append(f'<text x="{x + 13:.1f}" y="24.5" font-size="9">{name}</text>')
    return "".join(parts)
