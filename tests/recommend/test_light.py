"""The decoder on a machine that has torch, transformers, numpy, safetensors and rich, and nothing else of sidrec's needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = ("polars", "pydantic", "sklearn", "scipy", "matplotlib", "pyarrow", "torchao", "jinja2", "rouge_score")
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))"  # None there: an import fails
BENCH = "import runpy; sys.path.insert(0, 'benchmarks'); runpy.run_path('benchmarks/{}.py', run_name='__main__')"


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_blocked_cannot_be_imported() -> None:
    with pytest.raises(AssertionError, match="polars"):
        run(f"{BLOCK}; import sidrec.schemas")


def test_the_gpu_benchmark_runs_at_toy_size_without_the_rest(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    said = run(f"{BLOCK}; {BENCH.format('bench_recommend_gpu')}", "--tiny", "--quick", "--json", str(rows))
    found = {row["name"]: row["value"] for row in json.loads(rows.read_text("utf-8"))}
    assert found["K 5: items shared with the search that is not recorded"] == 1.0
    assert found["queue, concurrency 4, K 12, context 20"] > 0 and len(said.splitlines()) == len(found) + 1
