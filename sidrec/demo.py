"""``sidrec demo``: the whole pipeline on the simulated shop, and what came out, shown to a person."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidrec import columns as c
from sidrec.ask.answer import Answerer
from sidrec.config import RunConfig
from sidrec.configfile import parse_config
from sidrec.pipeline import Run, run_all
from sidrec.results import show_results

QUERY = "grain-free food for a senior cat"
_CUSTOMERS, _HISTORY, _ITEMS = 3, 5, 5


def demo_config(overrides: Sequence[str] = ()) -> RunConfig:
    """The config that comes with the package."""
    text = resources.files("sidrec").joinpath("demo.toml").read_text("utf-8")
    return parse_config(tomllib.loads(text), overrides, where="demo.toml")


def run_demo(path: Path, overrides: Sequence[str] = ()) -> None:
    """Run, then show the table, three customers, a search, and what to type next."""
    console = Console(highlight=False)
    run = Run(path, demo_config(overrides))
    run_all(run)
    show_results(run, console)
    answerer = Answerer.open(run)
    _show_customers(answerer, console)
    answer = answerer.for_text(QUERY, _ITEMS)
    console.print()
    answer.show(console)
    _show_next(run, answerer, console)


def _show_customers(answerer: Answerer, console: Console) -> None:
    """Three customers drawn by the run's seed: what they bought, and what the model says comes next."""
    cases = answerer.corpus.next_item_cases("test")
    generator = np.random.default_rng([answerer.run.config.seed, 3])
    chosen = [cases[int(i)] for i in generator.choice(len(cases), size=min(_CUSTOMERS, len(cases)), replace=False)]
    ranked = answerer.rank_histories([case.history for case in chosen], _ITEMS)
    for case, answer in zip(chosen, ranked, strict=True):
        console.print(Text(f"\nCustomer {case.user} bought, latest last:", style="bold"))
        for item in case.history[-_HISTORY:]:
            console.print(Text(f"    {answerer.title(item)}"), overflow="ellipsis", no_wrap=True)
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
        table.add_column("", width=2)
        table.add_column("recommended next", no_wrap=True, overflow="ellipsis")
        for item in answer.items.tolist():
            mark = Text("→", style="bold green") if item == case.target else Text("")
            table.add_row(mark, Text(answerer.title(item)))
        console.print(table)
        console.print(
            Text(f"  and in truth bought: {answerer.title(case.target)}", style="dim"), overflow="ellipsis", no_wrap=True
        )


def _show_next(run: Run, answerer: Answerer, console: Console) -> None:
    ids = answerer.corpus.items[c.ITEM_ID].to_list()
    user = answerer.corpus.histories[c.USER_ID][0]
    lines = [
        f"sidrec recommend --run {run.path} --user {user}",
        f"sidrec recommend --run {run.path} --history {ids[0]},{ids[1]} --exclude-seen",
        f"sidrec recommend --run {run.path} --bought-with {ids[2]}",
        f'sidrec recommend --run {run.path} --text "toy for a large dog" --filter "price < 20 and in_stock"',
        f'sidrec recommend --run {run.path} --text "toy for a large dog" --explain',
        f"sidrec look {run.folder('converse')}",
        "sidrec init --items YOUR_ITEMS.csv --interactions YOUR_PURCHASES.csv",
    ]
    console.print(Text(f"\nArtefacts: {run.path}/   Report: {run.folder('evaluate') / 'report.html'}", style="bold"))
    console.print(Text("Next:", style="bold"))
    for line in lines:
        console.print(Text(f"  {line}"), soft_wrap=True)
