"""``sidrec look``: any artefact, printed for a person."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidrec import columns as c
from sidrec.artifacts import MANIFEST, STAGES, Manifest
from sidrec.catalogue.live import FOLDER, versions
from sidrec.errors import ArtifactError

_SHOWN_CHARS = 300


def look_at(path: Path, rows: int, task: str = "", console: Console | None = None) -> None:
    """Print a run, an artefact folder or one file of it.

    Raises:
        ArtifactError: there is nothing, or nothing that sidrec can show.
    """
    console = console or Console(highlight=False)
    if not path.exists():
        raise ArtifactError(f"nothing at {path}: give the folder of a run, one of its artefacts, or a file")
    if path.is_dir():
        _look_at_folder(path, rows, task, console)
    elif path.suffix == ".parquet":
        _look_at_table([path], path.name, rows, task, console)
    elif path.suffix == ".safetensors":
        _look_at_tensors(path, console)
    elif path.suffix in (".json", ".jsonl", ".md", ".txt", ".csv", ".toml", ".jinja"):
        _look_at_text(path, rows, console)
    else:
        raise ArtifactError(f"{path}: sidrec shows folders, .parquet, .safetensors, .json, .jsonl, .md, .csv and .txt")


def _look_at_folder(path: Path, rows: int, task: str, console: Console) -> None:
    if (path / MANIFEST).exists():
        manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
        console.print(Text(f"{path}: made by `sidrec {manifest.stage}`, seed {manifest.seed}", style="bold"))
        console.print(Text(f"{manifest.seconds} s, {manifest.peak_memory_mb:.0f} MB, {_spelled(manifest.versions)}"))
        console.print(Text(f"config: {_spelled(manifest.config)}", style="dim"))
        for name in manifest.files:
            console.print(Text(f"  {manifest.files[name].bytes:>12,} bytes  {name}"))
        for group, files in tables(list(manifest.files)).items():
            _look_at_table([path / name for name in files], group, rows, task, console)
        return
    known = [stage for stage in STAGES.values() if (path / stage.folder).exists()]
    live = versions(path if known else path.parent)
    if not known and not (live and path.name == FOLDER):
        raise ArtifactError(f"{path} is neither a run nor a finished artefact (no {MANIFEST})")
    for stage in known:
        found = (path / stage.folder / MANIFEST).exists()
        size = sum(p.stat().st_size for p in (path / stage.folder).rglob("*") if p.is_file())
        state = "finished" if found else "not finished"
        console.print(Text(f"{stage.folder:<20}{state:<14}{size:>14,} bytes  sidrec {stage.command}"))
    for version in live:
        size = sum(p.stat().st_size for p in version.iterdir())
        console.print(Text(f"{FOLDER}/{version.name:<8}{'finished':<14}{size:>14,} bytes  sidrec codes"))
    closer = path / known[-1].folder if known else live[-1]
    console.print(Text(f"look closer: sidrec look {closer}", style="dim"))


def tables(names: Sequence[str]) -> dict[str, list[str]]:
    """Parquet files, those that are numbered parts of one table together.

    >>> tables(["counts.json", "part-00000.parquet", "part-00001.parquet", "test.parquet"])
    {'part-*.parquet': ['part-00000.parquet', 'part-00001.parquet'], 'test.parquet': ['test.parquet']}
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        if name.endswith(".parquet"):
            groups.setdefault(re.sub(r"-\d{5}\.parquet$", "-*.parquet", name), []).append(name)
    return groups


def _look_at_table(paths: Sequence[Path], name: str, rows: int, task: str, console: Console) -> None:
    lazy = pl.scan_parquet(list(paths))
    schema = lazy.collect_schema()
    total = lazy.select(pl.len()).collect().item()
    parts = f" in {len(paths):,} files" if len(paths) > 1 else ""
    console.print(Text(f"\n{name}: {total:,} rows{parts}", style="bold"))
    if c.MESSAGES in schema:
        chosen = lazy.filter(pl.col(c.TASK) == task) if task else lazy
        _conversations(chosen.head(rows).collect(), console)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("column")
    table.add_column("type")
    table.add_column("first rows", ratio=1)
    head = lazy.head(rows).collect()
    for name, kind in schema.items():
        values = " | ".join(_short(str(value), 60) for value in head[name].to_list())
        table.add_row(name, str(kind), Text(_short(values, _SHOWN_CHARS)))
    console.print(table)


def _conversations(frame: pl.DataFrame, console: Console) -> None:
    """What is trained on stands in green, semantic IDs in bold."""
    for row in frame.iter_rows(named=True):
        console.print(Text(f"[{row[c.TASK]}] item {row[c.ITEM_INDEX]}", style="dim"))
        for message, spans in zip(row[c.MESSAGES], row[c.SPANS], strict=True):
            answer = message["role"] == "assistant"
            body = Text(message["content"], style="green" if answer else "")
            for start, end in zip(spans[::2], spans[1::2], strict=True):
                body.stylize("bold", start, end)
            trained = "  (trained)" if answer else ""
            console.print(Text.assemble((f"  {message['role']}{trained}: ", "dim"), body))


def _look_at_tensors(path: Path, console: Console) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        console.print(Text(f"{path.name}: {_spelled(file.metadata() or {})}", style="bold"))
        for name in file.keys():  # noqa: SIM118  (the handle is no mapping)
            part = file.get_slice(name)
            console.print(Text(f"  {name}  {part.get_dtype()}  {part.get_shape()}"))


def _look_at_text(path: Path, rows: int, console: Console) -> None:
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        console.print_json(text)
        return
    lines = text.splitlines()
    shown = lines if path.suffix == ".md" else lines[:rows]
    for line in shown:
        console.print(Text(line))
    if len(shown) < len(lines):
        console.print(Text(f"... {len(lines) - len(shown):,} more lines", style="dim"))


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _spelled(value: Any) -> str:
    return _short(json.dumps(value, default=str), 4 * _SHOWN_CHARS)
