"""Pages that need nothing else: templates with everything escaped, and figures as a person reads them."""

from __future__ import annotations

import base64
import math
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from sidrec.drawing import Picture


def environment() -> Environment:
    """Templates by their path inside the package, e.g. ``evaluate/report.html.j2``; whatever is put in is escaped.

    ``page.html.j2`` holds what pages share: the style, tables and pictures.
    """
    loader = FunctionLoader(lambda name: resources.files("sidrec").joinpath(name).read_text("utf-8"))
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["percent"] = percent
    made.filters["thousands"] = lambda n: f"{n:,}"
    return made


def embedded(picture: Picture) -> dict[str, Any]:
    """A picture as ``page.html.j2`` takes it: the drawing, its words, and its numbers as a link that holds them."""
    csv = f"data:text/csv;base64,{base64.b64encode(picture.csv).decode()}"
    # the drawings are our own, and whoever drew them has escaped the text in them
    return {"name": picture.name, "title": picture.title, "alt": picture.alt, "svg": Markup(picture.svg), "csv": csv}


def percent(value: float | None, digits: int = 1) -> str:
    """A share as per cent, with more digits where fewer would read as zero.

    >>> percent(0.1824), percent(0.00043), percent(-0.021), percent(0.0), percent(None)
    ('18.2', '0.04', '−2.1', '0.0', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if 0 < abs(value) < 0.01:
        digits = max(digits, 2)
    return f"{100 * value:.{digits}f}".replace("-", "−")
