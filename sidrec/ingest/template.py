"""A config for a guessed pair of tables, each key with the comment that the config model has for it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sidrec.config import ColumnMap, IngestConfig, RunConfig, TablesSource
from sidrec.ingest.guess import TablesGuess

_WIDTH = 110


_FOR_A_CPU = """\
# For a small model from scratch on a CPU. With a GPU take the training tables of examples/pet-supplies-1.7b.toml.
[converse]
# No task writes more than this; histories are how the next purchase is learned, so they have no cap.
max_per_task = 5000
caps = { purchase_history = 0 }

[converse.weights]
purchase_history = 4.0

[train.full]
epochs = 2
learning_rate = 3e-3
weight_decay = 0.1
dropout = 0.1
tokens_per_step = 4096
tokens_per_batch = 4096
"""


def config_toml(guess: TablesGuess, name: str, relative_to: Path) -> str:
    """The text of a config file that reads the guessed tables.

    Args:
        guess: what ``guess_tables`` found.
        name: name of the run; characters that no name may have become "-".
        relative_to: the folder that the file will be written to; tables below it or close by get a relative folder.
    """
    folder, items, interactions = _paths(guess, relative_to)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "shop"
    tables = {"folder": folder, "items": items, "interactions": interactions, "category_separator": guess.category_separator}
    ingest = {
        key: value
        for key, value in IngestConfig(source="tables").model_dump(mode="json").items()
        if not isinstance(value, dict)
    }
    parts = [
        "# Written by `sidrec init`. Next: `sidrec doctor --config` this file, then `sidrec run --config` this file.",
        "# How the columns were guessed:",
        *(f"#   {_printable(reason)}" for reason in guess.reasons),
        "",
        *_keys(RunConfig, {"name": name, "seed": 0}),
        "[ingest]",
        *_keys(IngestConfig, ingest),
        "[ingest.tables]",
        *_keys(TablesSource, tables),
        "[ingest.tables.columns]",
        *_keys(ColumnMap, guess.columns.model_dump(mode="json")),
        _FOR_A_CPU,
        "# The other stages have these tables; what is not set has its default:",
        *(
            f"#   [{key}] {field.description}"
            for key, field in RunConfig.model_fields.items()
            if key not in ("name", "seed", "ingest")
        ),
    ]
    return "\n".join(parts) + "\n"


def _keys(model: type[BaseModel], values: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        lines += [f"# {line}" for line in _wrapped(model.model_fields[key].description or "")]
        lines.append(f"{key} = {_toml(value)}")
    return [*lines, ""]


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= _WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _printable(text: str) -> str:
    """A comment must not end early or hold what TOML forbids, whatever a file is called."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _toml(value: str | float | bool | list[str]) -> str:
    """A TOML value: its basic strings are JSON's, but for the character 7f, which TOML wants escaped.

    >>> _toml('say "hi"'), _toml(0.01), _toml(True)
    ('"say \\\\"hi\\\\""', '0.01', 'true')
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _paths(guess: TablesGuess, relative_to: Path) -> tuple[str, str, str]:
    """Folder, items and interactions, with slashes; the folder relative if that takes at most two steps up."""
    items, interactions = guess.items.resolve(), guess.interactions.resolve()
    folder = Path(os.path.commonpath([items.parent, interactions.parent]))
    base = relative_to.resolve()
    above = [base, *list(base.parents)[:2]]
    near = any(folder.is_relative_to(step) for step in above if step.parent != step)
    shown = Path(os.path.relpath(folder, base)) if near else folder
    return shown.as_posix(), items.relative_to(folder).as_posix(), interactions.relative_to(folder).as_posix()
