"""The figures on a terminal of 80 columns."""

from __future__ import annotations

import io
import json

from rich.console import Console

from sidrec.config import EVALUATED_TASKS
from sidrec.evaluate import as_json, terminal_tables
from tests.evaluate.stand_in import Shop


def test_everything_fits_into_80_columns(shop: Shop) -> None:
    rows = shop.rows(empty=("description_to_sid", "sid_to_description"))
    document = json.loads(json.dumps(as_json(rows, shop.facts())))
    out = io.StringIO()
    console = Console(file=out, width=80, color_system=None)
    for part in terminal_tables(document):
        console.print(part)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert all(len(line) <= 80 and "…" not in line for line in lines)
    for name in ("model", "co-occurrence", "nearest vectors", "popularity", *EVALUATED_TASKS):
        assert sum(line.split("  ")[0].strip() == name for line in lines) == 1, name  # one line each: nothing wrapped
    for task in ("description_to_sid", "sid_to_description"):
        (line,) = (line for line in lines if line.startswith(task))
        assert line.split() == [task, "no", "data"]
    assert "On next purchase the model finds" in out.getvalue()
