"""The decoder on a machine that has torch, transformers, numpy, safetensors and rich, and nothing else of sidrec's needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = ("polars", "pydantic", "sklearn", "scipy", "matplotlib", "pyarrow", "torchao", "jinja2", "rouge_score")
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))"  # None there: an import fails
DECODE = """
from sidrec.recommend import Recommender
from tests.recommend.helpers import catalogue, tiny_qwen3, vocabulary
codes = catalogue(0, (4, 3), 9)
names = vocabulary(codes.sizes)
print(len(Recommender(tiny_qwen3(names.last_id + 1), names, codes).rank([[1, 2]], 5, 5)[0].items))
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_blocked_cannot_be_imported() -> None:
    with pytest.raises(AssertionError, match="polars"):
        run(f"{BLOCK}; import sidrec.schemas")


def test_the_decoder_runs_without_the_rest() -> None:
    assert run(f"{BLOCK}\n{DECODE}").strip() == "5"
