"""Writes ``docs/config.md`` from the config models: ``python docs/build_config_page.py``. A test holds the two together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sidrec.config import RunConfig

HEAD = """# Config

One TOML file a run; `sidrec <command> --config FILE --set section.key=value`. An unknown key is refused with the nearest
known one. This page is written from `sidrec/config/` by `docs/build_config_page.py`.
"""


def default(value: Any) -> str:
    """A default as TOML would show it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(default(v) for v in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def section(name: str, model: type[BaseModel], about: str) -> list[str]:
    """The table of one model, then those of the models inside it."""
    lines = [f"\n## {f'[{name}]' if name else 'Top level'}\n", f"{about}\n"] if about else [f"\n## [{name}]\n"]
    lines += ["| key | default | what it is |", "|---|---|---|"]
    inner: list[str] = []
    instance = model()
    for key, field in model.model_fields.items():
        value = getattr(instance, key)
        if isinstance(value, BaseModel):
            inner += section(f"{name}.{key}".lstrip("."), type(value), field.description or "")
            continue
        shown = "" if field.default is PydanticUndefined and not field.default_factory else default(value)
        lines.append(f"| `{key}` | `{shown}` | {(field.description or '').replace('|', chr(92) + '|')} |")
    return lines + inner


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(section("", RunConfig, "")).replace("## []", "## Top level") + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("config.md").write_text(page(), "utf-8")
