"""What a finished run measured, on a terminal."""

from __future__ import annotations

import json

from rich.console import Console

from sidrec.evaluate import terminal_tables
from sidrec.pipeline import Run


def show_results(run: Run, console: Console | None = None) -> None:
    """The next-purchase table and the tasks, model and baselines side by side."""
    console = console or Console(highlight=False)
    metrics = json.loads((run.checked("evaluate") / "metrics.json").read_text("utf-8"))
    for table in terminal_tables(metrics):
        console.print()
        console.print(table)
