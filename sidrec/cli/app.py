"""The command line: one command a stage, and demo, run, recommend, look, doctor, init."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sidrec import __version__
from sidrec.cli import codes
from sidrec.cli.options import ConfigOption, JsonOption, RunOption, SetOption
from sidrec.cli.recommend import recommend
from sidrec.config import RunConfig
from sidrec.configfile import load_config
from sidrec.errors import ConfigError, SidrecError
from sidrec.log import console, say

app = typer.Typer(
    name="sidrec",
    help="Turn a catalogue and a purchase log into a language model that recommends by generating semantic IDs.",
    epilog="Start with `sidrec demo`. For your own shop: `sidrec init`, `sidrec doctor`, `sidrec run`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)

app.add_typer(codes.app, name="codes", rich_help_panel="Use a run")


def main() -> None:
    """Entry point: a user's mistake is one sentence on standard error and an exit code, never a traceback."""
    try:
        app(standalone_mode=True)
    except SidrecError as error:
        console.print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("stopped; run the same command again to go on from here")
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise
        console.print(f"error: {error.strerror}: {error.filename}", style="bold red", markup=False, soft_wrap=True)
        sys.exit(1)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"sidrec {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def _open(config: RunConfig, folder: Path | None) -> Any:
    from sidrec.pipeline import Run

    return Run(folder or Path("runs") / config.name, config)


@app.command(rich_help_panel="Start here")
def demo(
    run: Annotated[Path, typer.Option("--run", "-r", help="Folder of the run.")] = Path("runs/demo"),
    overrides: SetOption = None,
) -> None:
    """Run everything on a simulated pet-supplies shop, in minutes, on a CPU."""
    from sidrec.demo import run_demo

    run_demo(run, overrides or [])


@app.command(rich_help_panel="Start here")
def init(
    items: Annotated[Path, typer.Option(help="Your catalogue: CSV, TSV, JSONL or Parquet, gzipped or not.")],
    interactions: Annotated[Path, typer.Option(help="Your purchase log, in one of the same formats.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Config file to write.")] = Path("shop.toml"),
    force: Annotated[bool, typer.Option(help="Overwrite the config file.")] = False,
) -> None:
    """Guess the columns of your tables and write a commented config."""
    from sidrec.artifacts import write_file
    from sidrec.ingest import config_toml, guess_tables

    if out.exists() and not force:
        raise ConfigError(f"{out} exists already: choose another --out, or overwrite it with --force")
    guess = guess_tables(items, interactions)
    write_file(out, config_toml(guess, out.stem, relative_to=out.parent).encode())
    for line in guess.reasons:
        say(f"  {line}")
    say(f"{out} written. Look at it, then: sidrec doctor --config {out}")


@app.command(rich_help_panel="Start here")
def doctor(config: ConfigOption, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Read everything, count, and list every kind of problem; trains nothing."""
    from sidrec.doctor import examine

    healthy = examine(load_config(config, overrides or []), as_json)
    if not healthy:
        raise typer.Exit(3)


@app.command("run", rich_help_panel="Start here")
def run_command(config: ConfigOption, run: RunOption = None, overrides: SetOption = None) -> None:
    """Every stage from tables to report; what is finished and unchanged is kept."""
    from sidrec.pipeline import run_all
    from sidrec.results import show_results

    opened = _open(load_config(config, overrides or []), run)
    run_all(opened)
    show_results(opened)


def _stage_command(name: str, summary: str) -> None:
    def command(config: ConfigOption, run: RunOption = None, overrides: SetOption = None) -> None:
        from sidrec.pipeline import STAGE_FUNCTIONS

        STAGE_FUNCTIONS[name](_open(load_config(config, overrides or []), run))

    command.__doc__ = summary
    app.command(name, rich_help_panel="One stage")(command)


_stage_command("ingest", "Read, clean, filter and split the shop's tables.")
_stage_command("embed", "Item text to vectors.")
_stage_command("quantize", "Vectors to semantic IDs.")
_stage_command("converse", "Items and histories to conversations.")
_stage_command("train-vocabulary", "Add the SID tokens and train only their rows.")
_stage_command("train-full", "Train the whole model.")
_stage_command("evaluate", "Measure the model beside baselines and write the report.")


app.command(rich_help_panel="Use a run")(recommend)


@app.command(rich_help_panel="Use a run")
def look(
    path: Annotated[Path, typer.Argument(help="A run, a folder of it, or a file.")],
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="Rows to show.")] = 5,
    task: Annotated[str, typer.Option(help="Conversations: only this task.")] = "",
) -> None:
    """Print any artefact for a person: manifest, columns, rows, conversations."""
    from sidrec.look import look_at

    look_at(path, rows, task)
