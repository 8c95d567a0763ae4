"""``sidrec codes``: the life of a catalogue whose codes a model has learned."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from sidrec.cli.options import JsonOption
from sidrec.errors import ConfigError

app = typer.Typer(
    help="Add items, retire them, compare codes: a catalogue grows for a year and no code moves.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
RunOption = Annotated[Path, typer.Option("--run", "-r", help="Folder of a run with codes.")]
IdsOption = Annotated[
    str, typer.Option("--ids", metavar="ID,ID|FILE", help="Item ids, or a text file with one a line, or a table with item ids.")
]
VectorsOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help="Given vectors of the new items, where embed.given names another file."),
]


class OnChange(StrEnum):
    """What happens to an item of the file that the catalogue has with other text."""

    refuse = "refuse"
    update = "update"


@app.command()
def add(
    run: RunOption,
    items: Annotated[Path, typer.Option("--items", "-i", help="CSV, TSV, JSONL or Parquet, with the columns of the run.")],
    on_change: Annotated[
        OnChange, typer.Option(help="An item that exists with other text: refuse the file, or take its text and keep the code.")
    ] = OnChange.refuse,
    vectors: VectorsOption = None,
    as_json: JsonOption = False,
) -> None:
    """New items get codes from the frozen codebook and can be recommended at once."""
    from sidrec.catalogue import grow
    from sidrec.pipeline import Run

    done = grow.add(Run.open(run), items, on_change.value, _files(vectors))
    if as_json:
        typer.echo(json.dumps(done.as_json(), ensure_ascii=False))
        return
    console = Console(highlight=False)
    for line, style in done.lines():
        console.print(Text(line, style=style), soft_wrap=True)


@app.command()
def retire(run: RunOption, ids: IdsOption, as_json: JsonOption = False) -> None:
    """Items that are never recommended again; they keep their codes, for old histories."""
    _step("retire", run, ids, as_json)


@app.command()
def restore(run: RunOption, ids: IdsOption, as_json: JsonOption = False) -> None:
    """Retired items, on offer again."""
    _step("restore", run, ids, as_json)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="A run, its 3-codes, its 9-catalogue, or a version in that.")],
    new: Annotated[Path, typer.Argument(help="The same, later.")],
    as_json: JsonOption = False,
) -> None:
    """What moved, came and went; exits with 1 where a model that learned OLD means other items by NEW."""
    from sidrec.catalogue.drifting import read_registry
    from sidrec.quantize import compare

    found = compare(read_registry(old), read_registry(new))
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False))
    else:
        for line in found.lines():
            typer.echo(line)
    if not found.stable:
        raise typer.Exit(1)


@app.command()
def drift(
    run: RunOption,
    items: Annotated[Path | None, typer.Option("--items", "-i", help="Items that may come; default: those that came.")] = None,
    vectors: VectorsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Whether the codebook still fits what arrives; exits with 1 where it is time to learn new codes."""
    from sidrec.catalogue.drifting import measure_drift
    from sidrec.pipeline import Run

    found = measure_drift(Run.open(run), items, _files(vectors))
    if as_json:
        typer.echo(json.dumps({**found.figures, "refit": found.refit, "reasons": found.reasons}, ensure_ascii=False))
    else:
        for line in found.lines():
            typer.echo(line)
    if found.refit:
        raise typer.Exit(1)


def _files(vectors: list[str] | None) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for entry in vectors or []:
        name, equals, file = entry.partition("=")
        if not (name and equals and file):
            raise ConfigError(f"--vectors {entry!r}: expected NAME=FILE, e.g. --vectors image=new-images.parquet")
        files[name] = Path(file)
    return files


def _step(action: str, run: Path, ids: str, as_json: bool) -> None:
    from sidrec.catalogue import grow
    from sidrec.ingest import read_ids
    from sidrec.pipeline import Run

    opened = Run.open(run)
    item_ids = read_ids(ids, opened.config.ingest)
    after = (grow.retire if action == "retire" else grow.restore)(opened, item_ids)
    on_offer = int(after.registry.offered().sum())
    if as_json:
        found = {"version": after.version, "items": len(item_ids), "rows": after.registry.n_rows, "on_offer": on_offer}
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"version {after.version}: {on_offer:,} of {after.registry.n_rows:,} items are on offer")
