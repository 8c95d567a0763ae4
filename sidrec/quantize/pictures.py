"""The usage curves: how evenly the codes of each level are used."""

from __future__ import annotations

from string import ascii_uppercase

import matplotlib as mpl
import numpy as np
import polars as pl

from sidrec.drawing import INK, STYLE, Picture, picture_of, sheet
from sidrec.quantize.prefixes import perplexity, usage
from sidrec.types import ItemCodes

_ACROSS = 3
_POINTS = 512  # a curve of 8,192 codes is drawn as that many steps


def usage_picture(codes: ItemCodes) -> Picture:
    """Items a code, the most used code first, one panel a learned level; dashed: all used alike.

    The table holds every code. A level of more than 512 codes is drawn in 512 steps, each the mean of its codes.
    """
    counts = usage(codes)[: codes.learned.shape[1]]
    across = min(_ACROSS, len(counts))
    rows = -(-len(counts) // across)
    tables: list[pl.DataFrame] = []
    said: list[str] = []
    with mpl.rc_context(STYLE):
        figure = sheet(0.3 + 1.9 * rows)
        panels = figure.subplots(rows, across, squeeze=False).ravel()
        for level, (axes, items) in enumerate(zip(panels, counts, strict=False)):
            name, size = ascii_uppercase[level], len(items)
            ranked = np.sort(items)[::-1]
            edges = np.unique(np.linspace(0, size, min(size, _POINTS) + 1).round().astype(np.int64))
            axes.stairs(np.add.reduceat(ranked, edges[:-1]) / np.diff(edges), edges, fill=True, color="#2f86c4")
            axes.axhline(codes.n_items / size, color=INK, linewidth=1, linestyle="--")
            axes.set_title(f"{name}: {np.count_nonzero(items):,} of {size:,}", fontsize=10)
            axes.grid(visible=False, axis="x")
            axes.margins(x=0)
            tables.append(pl.DataFrame({"level": [name] * size, "code": np.arange(size), "items": items}))
            even = perplexity(codes.codes[:, level], size)
            said.append(
                f"level {name}: {np.count_nonzero(items):,} of {size:,} codes used, "
                f"perplexity {even:.0f}, the most used code has {int(ranked[0]):,} items"
            )
        for axes in panels[len(counts) :]:
            axes.set_visible(False)
        figure.supxlabel("codes, the most used first", fontsize=10)
        figure.supylabel("items", fontsize=10)
    alt = f"Items of each code, the most used first. {'; '.join(said)}."
    return picture_of("usage", "How evenly codes are used (dashed: all used alike)", alt, figure, pl.concat(tables))
