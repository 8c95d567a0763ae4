"""``report.html`` and everything that lies beside it, as bytes; the corridor writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sidrec import columns as c
from sidrec.drawing import Picture
from sidrec.evaluate import sections
from sidrec.evaluate.customers import Customer
from sidrec.evaluate.figures import Figures, label, verdict
from sidrec.evaluate.pictures import draw
from sidrec.evaluate.suite import TASK_K
from sidrec.page import embedded, environment


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Everything the report shows.

    ``metrics``: what ``as_json`` made; ``training``: rows of both ``metrics.jsonl`` (stage, step, loss, valid_loss);
    ``health``: the quantizer's ``health.json``; ``dropped``: the corpus' table of left-out rows; ``config``: the run's
    config as plain values; ``versions``: package -> version.
    """

    metrics: Mapping[str, Any]
    customers: Sequence[Customer]
    training: Sequence[Mapping[str, Any]]
    health: Mapping[str, Any]
    dropped: pl.DataFrame
    config: Mapping[str, Any]
    versions: Mapping[str, str]


def report_files(inputs: ReportInputs) -> dict[str, bytes]:
    """File name -> content: ``report.html``, and ``pictures/NAME.svg`` with ``pictures/NAME.csv`` of each picture."""
    figures = Figures.from_json(inputs.metrics)
    pictures = draw(figures, inputs.training)
    files = {"report.html": report_html(inputs, figures, pictures).encode()}
    for name, picture in pictures.items():
        files[f"pictures/{name}.svg"] = picture.file
        files[f"pictures/{name}.csv"] = picture.csv
    return files


def report_html(inputs: ReportInputs, figures: Figures, pictures: Mapping[str, Picture]) -> str:
    """One page that needs nothing else: no script, no address, pictures inside. All text from the shop is escaped."""
    templates = environment()
    templates.filters["label"] = label
    template = templates.get_template("evaluate/report.html.j2")
    headline, detail = verdict(figures)
    shown = {picture.name: embedded(picture) for picture in pictures.values()}
    return template.render(
        facts=figures.about,
        headline=headline,
        detail=detail,
        tiles=sections.tiles(figures),
        pictures=shown,
        next_item=sections.next_item(figures),
        exact=sections.exact(figures),
        ladder=sections.ladder(figures),
        invalid=sections.invalid(figures),
        text=sections.text(figures),
        cold=sections.cold(figures),
        customers=inputs.customers,
        health=flat({key: value for key, value in inputs.health.items() if not _is_table(value)}),
        health_tables=[(key, sections.of_rows(value)) for key, value in inputs.health.items() if _is_table(value)],
        dropped=inputs.dropped.group_by(c.KIND, c.REASON).len("rows").sort(c.KIND, c.REASON).rows(),
        n_dropped=inputs.dropped.height,
        config=json.dumps(inputs.config, indent=2, ensure_ascii=False),
        versions=sorted(inputs.versions.items()),
        rows=figures.rows,
        k=TASK_K,
    )


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _listed(value: object) -> str:
    return " = ".join(sections.short(part) for part in value) if isinstance(value, list | tuple) else sections.short(value)


def flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested table as dotted names and short texts.

    >>> flat({"a": {"b": [1, 2]}, "share": 0.93412345, "alike": [["p1", "p2"], ["q1", "q2"]]})
    [('a.b', '1, 2'), ('share', '0.9341'), ('alike', 'p1 = p2, q1 = q2')]
    """
    lines: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            lines.append((f"{prefix}{key}", ", ".join(_listed(part) for part in value)))
        else:
            lines.append((f"{prefix}{key}", sections.short(value)))
    return lines
