"""A picture of how the codes are used."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

import numpy as np
import polars as pl

from sidrec.quantize.prefixes import perplexity
from sidrec.types import ItemCodes


def usage_picture(codes: ItemCodes, path: Path) -> None:
    """Items a code, the most used code first, one panel a level: a PNG at ``path`` and its numbers in a CSV beside it."""
    from matplotlib.figure import Figure  # half a second to import, and only this needs it

    figure = Figure(figsize=(3.2 * codes.levels, 3.0), layout="constrained")
    panels = figure.subplots(1, codes.levels, squeeze=False)[0]
    tables: list[pl.DataFrame] = []
    for level, (panel, size) in enumerate(zip(panels, codes.sizes, strict=True)):
        name = ascii_uppercase[level]
        items = np.bincount(codes.codes[:, level], minlength=size)
        ranked = np.sort(items)[::-1]
        panel.stairs(ranked, np.arange(size + 1), fill=True, color="#4c78a8")
        panel.axhline(codes.n_items / size, color="#e45756", linewidth=1, linestyle="--")
        even = perplexity(codes.codes[:, level], size)
        kind = "ties" if level == codes.levels - 1 else "learned"
        panel.set_title(f"level {name} ({kind}): {np.count_nonzero(items)} of {size} used\nperplexity {even:.0f}", fontsize=9)
        panel.set_xlabel("codes, the most used first", fontsize=8)
        panel.tick_params(labelsize=8)
        tables.append(pl.DataFrame({"level": [name] * size, "code": np.arange(size), "items": items}))
    panels[0].set_ylabel("items (dashed: all used alike)", fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pl.concat(tables).write_csv(path.with_suffix(".csv"))
