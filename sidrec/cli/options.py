"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Config file (TOML) of the run.")]
RunOption = Annotated[Path | None, typer.Option("--run", "-r", help="Folder of the run; default: runs/NAME.")]
ExistingRun = Annotated[Path, typer.Option("--run", "-r", help="Folder of a finished run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a config value, e.g. train.full.epochs=3."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
