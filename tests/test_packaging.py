"""What a user installs and types: the wheel outside the checkout, and every command of the README and the docs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest

from sidrec.config import DemoSource
from sidrec.ingest.demo import simulate_shop
from tests.test_flow import SMALL

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Run elsewhere in CI, or in need of what CI has not: said per pattern.
ELSEWHERE = {
    r"make test": "CI's own first step",
    r"python3? -m venv": "the set-up of make test",
    r".*pytest": "CI's own first step",
    r"pip install": "the set-up of make test, and the wheel test below",
}


def shell_commands(page: Path) -> list[str]:
    """The lines of a page's ```sh blocks, without comments and continuation."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def test_pages_have_commands_and_name_existing_files() -> None:
    assert any(shell_commands(page) for page in PAGES)
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page} links to {target}, which does not exist"


def test_the_config_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "config.md").read_text("utf-8")
    made = subprocess.run(
        [sys.executable, "-c", "import runpy; print(runpy.run_path('docs/build_config_page.py')['page'](), end='')"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert written == made.stdout, "run `python docs/build_config_page.py`"


@pytest.mark.slow
def test_every_command_of_the_pages_runs(tmp_path: Path) -> None:
    """In a copy of the checkout, in the order of the pages, with the demo shop at its real size."""
    copy = tmp_path / "sidrec"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs", ".*_cache", "__pycache__"))
    venv = Path(sys.executable).parents[1]
    (copy / ".venv").symlink_to(venv)
    (venv / ".ready").touch()
    items, purchases = simulate_shop(DemoSource(products=300, customers=400), seed=1)
    items.with_columns(pl.col("features", "category").list.join(">")).write_csv(copy / "items.csv")
    purchases.write_csv(copy / "purchases.csv")
    environment = os.environ | {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
    ran = 0
    for page in PAGES:
        for command in shell_commands(page):
            parts = [p for p in re.split(r"&&", command) if not any(re.match(rf"\s*(\S*/)?{e}", p) for e in ELSEWHERE)]
            if not parts:
                continue
            done = subprocess.run("&&".join(parts), shell=True, cwd=copy, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{page.name}: {command}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= 5


@pytest.mark.slow
def test_the_wheel_runs_the_demo_outside_the_checkout(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT)], check=True, capture_output=True)
    wheel, sdist = next(dist.glob("*.whl")), next(dist.glob("*.tar.gz"))
    names = zipfile.ZipFile(wheel).namelist()
    assert "sidrec/demo.toml" in names and "sidrec/py.typed" in names and not any(n.startswith("tests") for n in names)
    assert sdist.stat().st_size > 10_000
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(pip, check=True)
    sets = [part for override in SMALL for part in ("--set", override)]
    shop = tmp_path / "elsewhere"
    shop.mkdir()
    done = subprocess.run([str(venv / "bin" / "sidrec"), "demo", *sets], cwd=shop, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "grain-free food for a senior cat" in done.stdout and (shop / "runs" / "demo" / "8-report" / "report.html").exists()
