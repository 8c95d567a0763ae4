"""``sidrec doctor``: the config and the data, examined before anything is trained."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidrec.config import RunConfig
from sidrec.errors import DataError
from sidrec.ingest import Inspection, inspect


def examine(config: RunConfig, as_json: bool = False, console: Console | None = None) -> bool:
    """Print what was found; True where nothing stands in the way of a run."""
    console = console or Console(highlight=False)
    try:
        found = inspect(config.ingest, config.seed)
    except DataError as error:
        if as_json:
            typer.echo(json.dumps({"healthy": False, "error": str(error)}, ensure_ascii=False))
        else:
            console.print(Text(f"the config {config.name!r} is valid", style="green"))
            console.print(Text(f"error: {error}", style="bold red"), soft_wrap=True)
        return False
    if as_json:
        typer.echo(json.dumps({"healthy": found.healthy, **found.as_json()}, ensure_ascii=False))
    else:
        _show(config, found, console)
    return found.healthy


def _show(config: RunConfig, found: Inspection, console: Console) -> None:
    console.print(Text(f"the config {config.name!r} is valid", style="green"))
    counts = Table(box=None, pad_edge=False, show_header=False)
    for name, value in found.counts.items():
        counts.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:,.2f}")
    console.print(counts)
    if not found.problems:
        console.print("no problems found")
    for problem in found.problems:
        style = {"error": "bold red", "warning": "yellow"}.get(problem.severity, "dim")
        where = f"{problem.source}:{problem.line}" if problem.line else problem.source
        console.print(Text(f"{problem.severity}: {problem.reason}, {problem.count:,} times", style=style))
        console.print(Text(f"  {where}  {problem.example}", style="dim"), soft_wrap=True)
        if problem.advice:
            console.print(Text(f"  {problem.advice}"), soft_wrap=True)
