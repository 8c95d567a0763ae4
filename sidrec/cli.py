"""The command line: one command a stage, and demo, run, recommend, look, doctor, init."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sidrec import __version__, cli_codes
from sidrec.config import Engine, RunConfig, UnknownItems
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

app.add_typer(cli_codes.app, name="codes", rich_help_panel="Use a run")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Config file (TOML) of the run.")]
RunOption = Annotated[Path | None, typer.Option("--run", "-r", help="Folder of the run; default: runs/NAME.")]
ExistingRun = Annotated[Path, typer.Option("--run", "-r", help="Folder of a finished run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a config value, e.g. train.full.epochs=3."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


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


@app.command(rich_help_panel="Use a run")
def recommend(
    run: ExistingRun,
    history: Annotated[str, typer.Option(metavar="ID,ID,...", help="Item ids bought so far, oldest first.")] = "",
    text: Annotated[str, typer.Option(help="A shopper's sentence.")] = "",
    bought_with: Annotated[str, typer.Option(metavar="ID", help="What is bought soon after this item.")] = "",
    user: Annotated[str, typer.Option(metavar="ID", help="A customer of the purchase log.")] = "",
    users: Annotated[
        str, typer.Option(metavar="all|FILE", help="Every customer of the log ('all') or of a file, to 7-recommendations.")
    ] = "",
    k: Annotated[int | None, typer.Option("-k", min=1, help="How many items; default: the config.")] = None,
    exclude_seen: Annotated[
        bool | None, typer.Option("--exclude-seen/--keep-seen", help="Leave out what was bought; default: the config.")
    ] = None,
    num_workers: Annotated[int, typer.Option(min=1, help="With --users: processes that share the work.")] = 1,
    engine: Annotated[Engine, typer.Option(help="With --users: this machine, or the machines of a Ray cluster.")] = "local",
    unknown_items: Annotated[
        UnknownItems,
        typer.Option(help="With --users FILE: what a purchase of an unknown item does: refuse the file, or drop out."),
    ] = "refuse",
    as_json: JsonOption = False,
) -> None:
    """Recommend items: always real ones, always distinct."""
    given = [name for name, value in
             (("--history", history), ("--text", text), ("--bought-with", bought_with), ("--user", user), ("--users", users))
             if value]  # fmt: skip
    if len(given) != 1:
        raise ConfigError(
            f"give one of --history, --text, --bought-with, --user or --users; found {', '.join(given) or 'none'}"
        )
    if users not in ("", "all") and not Path(users).is_file():
        raise ConfigError(f"--users {users!r}: neither 'all' nor a file; for one customer use --user {users}")
    from sidrec import pipeline
    from sidrec.answer import Answerer

    opened = pipeline.Run.open(run)
    if users:
        from sidrec.scoring import Batch

        file = None if users == "all" else Path(users)
        pipeline.recommend(opened, Batch(k, exclude_seen, file, unknown_items, num_workers, engine))
        say(f"written: {opened.folder('recommend')}")
        return
    answerer = Answerer.open(opened)
    k = k or opened.config.recommend.k
    if text:
        answer = answerer.for_text(text, k)
    elif bought_with:
        answer = answerer.for_item(bought_with, k)
    elif user:
        answer = answerer.for_user(user, k, exclude_seen)
    else:
        answer = answerer.for_history([part.strip() for part in history.split(",") if part.strip()], k, exclude_seen)
    if as_json:
        typer.echo(json.dumps(answer.as_json(), ensure_ascii=False))
    else:
        answer.show(Console(highlight=False))


@app.command(rich_help_panel="Use a run")
def look(
    path: Annotated[Path, typer.Argument(help="A run, a folder of it, or a file.")],
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, help="Rows to show.")] = 5,
    task: Annotated[str, typer.Option(help="Conversations: only this task.")] = "",
) -> None:
    """Print any artefact for a person: manifest, columns, rows, conversations."""
    from sidrec.look import look_at

    look_at(path, rows, task)
