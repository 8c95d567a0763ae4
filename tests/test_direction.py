"""Rooms never import each other; the foundation imports no room and no corridor."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sidrec

ROOT = Path(sidrec.__file__).parent
CORRIDOR = {"pipeline", "assign", "vectors", "measure", "look", "doctor", "demo", "results", "__main__"}
CORRIDOR |= {"ask", "batch", "catalogue", "cli"}  # packages: what is done with a finished run, and the commands
ROOMS = sorted(p.name for p in ROOT.iterdir() if (p / "__init__.py").exists() and p.name not in CORRIDOR | {"config"})
FOUNDATION = {p.stem for p in ROOT.glob("*.py")} - CORRIDOR - {"__init__"} | {"config"}
ALLOWED = {("serve", "recommend")}


def imported(path: Path) -> set[str]:
    """The parts of sidrec that a file imports: the word after ``sidrec.``, anywhere in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("sidrec.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "sidrec":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sidrec."):
            found.add(str(node.module).split(".")[1])
    return found


def test_the_rooms_are_the_known_ones() -> None:
    assert {"ingest", "embed", "quantize", "converse", "train", "recommend", "evaluate"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_the_foundation(room: str) -> None:
    for path in sorted((ROOT / room).rglob("*.py")):
        others = imported(path) & (set(ROOMS) | CORRIDOR) - {room}
        assert {(room, other) for other in others} <= ALLOWED, f"{path} imports {others}"


@pytest.mark.parametrize("name", sorted(FOUNDATION))
def test_the_foundation_imports_no_room(name: str) -> None:
    package = ROOT / name
    for path in sorted(package.rglob("*.py")) if package.is_dir() else [ROOT / f"{name}.py"]:
        assert not imported(path) & (set(ROOMS) | CORRIDOR), path
