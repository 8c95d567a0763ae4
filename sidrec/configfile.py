"""Read a run's config: TOML file, ``--set`` overrides, and errors that name the key, the value and the nearest known key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from sidrec.config import RunConfig, nearest
from sidrec.errors import ConfigError


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a TOML file and apply ``section.key=value`` overrides; relative folders become relative to the file.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, or a value is out of range.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no config file {path}; `sidrec init` writes one for your tables") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from None
    return parse_config(table, overrides, base=path.parent, where=str(path))


def parse_config(
    table: Mapping[str, Any], overrides: Sequence[str] = (), *, base: Path | None = None, where: str = "config"
) -> RunConfig:
    """Validate a table; see ``load_config``. A folder given in an override is relative to the working directory."""
    merged = _deep_copy(table)
    if base is not None:
        for source in ("tables", "amazon"):
            section = merged.get("ingest", {}).get(source) if isinstance(merged.get("ingest"), dict) else None
            if isinstance(section, dict) and (section.get("folder") or source == "tables"):
                section["folder"] = str(base / str(section.get("folder", "")))
        quantize = merged.get("quantize")
        if isinstance(quantize, dict) and quantize.get("keep"):
            quantize["keep"] = str(base / str(quantize["keep"]))
        embed = merged.get("embed")
        if isinstance(embed, dict) and isinstance(embed.get("given"), list):
            embed["given"] = [_beside(base, entry) for entry in embed["given"]]
    for override in overrides:
        _apply(merged, override)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_sentence(e) for e in error.errors())) from None


def _beside(base: Path, entry: Any) -> Any:
    return {**entry, "file": str(base / str(entry["file"]))} if isinstance(entry, dict) and entry.get("file") else entry


def _deep_copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _deep_copy(v) if isinstance(v, Mapping) else v for k, v in table.items()}


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"--set {override!r}: expected section.key=value, e.g. --set train.full.epochs=3")
    try:
        value = tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        value = raw  # a bare word is a string: --set ingest.source=demo
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {name!r} is a value, not a table")
    table[path[-1]] = value


def _sentence(error: Any) -> str:
    loc = [str(part) for part in error["loc"]]
    where = ".".join(loc) or "the file"
    if error["type"] == "extra_forbidden":
        return f"unknown key {where!r}{nearest(loc[-1], _keys_at(loc[:-1]))}"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    found = error.get("input")
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
    return f"{where}: {message}{shown}"


def _keys_at(path: Sequence[str]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for name in path:
        kind = model.model_fields[name].annotation if name in model.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)
