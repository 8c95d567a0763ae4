"""``sidrec recommend``: ask a finished run, for one shopper or for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sidrec.cli.options import ExistingRun, JsonOption
from sidrec.config import Engine, UnknownItems
from sidrec.errors import ConfigError
from sidrec.log import say

if TYPE_CHECKING:
    from sidrec.ask.answer import Answerer
    from sidrec.ask.options import Options
    from sidrec.ask.shown import Answer
    from sidrec.pipeline import Run

_WHAT, _WHICH, _HOW, _ALL = "What is asked", "Which items may come out", "How", "With --users"


def recommend(
    run: ExistingRun,
    history: Annotated[
        str | None,
        typer.Option(metavar="ID,ID,...", help="Item ids bought so far, oldest first; '' for none.", rich_help_panel=_WHAT),
    ] = None,
    text: Annotated[str | None, typer.Option(help="A shopper's sentence.", rich_help_panel=_WHAT)] = None,
    bought_with: Annotated[
        str | None, typer.Option(metavar="ID", help="What is bought soon after this item.", rich_help_panel=_WHAT)
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="A customer of the log.", rich_help_panel=_WHAT)] = None,
    users: Annotated[
        str | None,
        typer.Option(
            metavar="all|FILE",
            help="Every customer of the log ('all') or of a file, to 7-recommendations.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="EXPR",
            help="Only items of which this is true, e.g. 'price < 30 and in_stock'; may be given again.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option(metavar="FILE|ID,ID", help="Only these items; a file has an id a line.", rich_help_panel=_WHICH),
    ] = None,
    deny: Annotated[str | None, typer.Option(metavar="FILE|ID,ID", help="None of these.", rich_help_panel=_WHICH)] = None,
    exclude_seen: Annotated[
        bool | None,
        typer.Option(
            "--exclude-seen/--keep-seen",
            help="Leave out what was bought; default: the config.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    min_novelty: Annotated[
        float | None,
        typer.Option(metavar="BITS", help="Only what few people bought; each bit halves.", rich_help_panel=_WHICH),
    ] = None,
    max_per_prefix: Annotated[
        str,
        typer.Option(
            metavar="A=N,AB=N",
            help="Diversity: at most N items whose semantic IDs begin alike.",
            rich_help_panel=_WHICH,
        ),
    ] = "",
    unknown_items: Annotated[
        UnknownItems,
        typer.Option(help="What an id that the catalogue lacks does: it is an error, or left out.", rich_help_panel=_WHICH),
    ] = "refuse",
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="How many items; default: the config.", rich_help_panel=_HOW)
    ] = None,
    beams: Annotated[
        int | None, typer.Option(min=1, help="How wide to search; default: the config.", rich_help_panel=_HOW)
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Widen the search until the answer is proven.", rich_help_panel=_HOW)
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the beam tree of the search.", rich_help_panel=_HOW)
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="With --explain: draw it, with its numbers beside.", rich_help_panel=_HOW),
    ] = None,
    as_json: JsonOption = False,
    num_workers: Annotated[int, typer.Option(min=1, help="Processes that share the work.", rich_help_panel=_ALL)] = 1,
    engine: Annotated[
        Engine, typer.Option(help="This machine, or the machines of a Ray cluster.", rich_help_panel=_ALL)
    ] = "local",
) -> None:
    """Recommend items: always real ones, always distinct."""
    asked = {"--history": history, "--text": text, "--bought-with": bought_with, "--user": user, "--users": users}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise ConfigError(
            f"give one of --history, --text, --bought-with, --user or --users; found {', '.join(given) or 'none'}"
        )
    if users is not None and users != "all" and not Path(users).is_file():
        raise ConfigError(f"--users {users!r}: neither 'all' nor a file; for one customer use --user {users}")
    if users is None and (num_workers > 1 or engine != "local"):
        raise ConfigError("--num-workers and --engine share the work of --users: one request has nothing to share")
    if picture is not None and (not explain or picture.suffix != ".svg"):
        raise ConfigError(f"--picture {picture} draws what --explain prints, to a file that ends in .svg")
    if picture is not None and not picture.parent.is_dir():
        raise ConfigError(f"--picture {picture}: there is no folder {picture.parent}")
    from sidrec.ask.options import Options, id_list, parse_caps, split_ids
    from sidrec.pipeline import Run

    opened = Run.open(run)
    options = Options(
        filters=tuple(filters or ()),
        allow=None if allow is None else id_list(allow, "--allow"),
        deny=() if deny is None else id_list(deny, "--deny"),
        min_novelty=min_novelty,
        caps=parse_caps(max_per_prefix, opened.config.quantize),
        exclude_seen=exclude_seen,
        unknown_items=unknown_items,
        beams=beams,
        exact=exact,
    )
    if users is not None:
        if explain or as_json:
            raise ConfigError("--users writes Parquet files: --explain and --json are of one request")
        _all(opened, users, k, options, num_workers, engine)
        return
    from sidrec.ask.answer import Answerer

    answerer = Answerer.open(opened)
    k = k or opened.config.recommend.k
    if text is not None:
        answer = answerer.for_text(text, k, options)
    elif bought_with is not None:
        answer = answerer.for_item(bought_with, k, options)
    elif user is not None:
        answer = answerer.for_user(user, k, options)
    else:
        answer = answerer.for_history(split_ids(history or ""), k, options)
    _show(answerer, answer, as_json, explain, picture)


def _all(run: Run, users: str, k: int | None, options: Options, workers: int, engine: Engine) -> None:
    from sidrec import pipeline
    from sidrec.batch.scoring import Batch

    file = None if users == "all" else Path(users)
    pipeline.recommend(run, Batch(k, file, options, workers, engine))
    say(f"written: {run.folder('recommend')}")


def _show(answerer: Answerer, answer: Answer, as_json: bool, explain: bool, picture: Path | None) -> None:
    console = Console(highlight=False)
    if not as_json:
        answer.show(console)
    told = answer.as_json()
    if explain:
        from sidrec.ask.explaining import explain_answer

        told["search"] = explain_answer(answerer, answer, None if as_json else console, picture)
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
