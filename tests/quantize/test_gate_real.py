"""The gate's defaults let real catalogues through, with and without moving, and stop them once their codes collapse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import sidrec
from sidrec import pipeline
from sidrec.config import QuantizeConfig
from sidrec.configfile import load_config
from sidrec.embed import TfidfEncoder
from sidrec.quantize import ResidualKMeans, gate, quantize
from sidrec.quantize.health import health
from sidrec.quantize.ties import break_ties
from sidrec.types import ItemCodes, ItemVectors

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["beauty", "industrial"])
def test_real_catalogues_pass_and_their_collapse_does_not(shared_data: Path, name: str) -> None:
    lines = (shared_data / "data" / name / "items.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    titles, ids = [row["title"] for row in rows], [row["item_id"] for row in rows]
    text = TfidfEncoder.fit(titles, 128, seed=0).encode(titles)
    cold = np.zeros(len(ids), np.bool_)
    config = QuantizeConfig(collisions="tie")
    tied = quantize(ItemVectors(text), ids, cold, [], config, seed=0)
    assert all(check.passed for check in gate.checks(tied.health, config))
    moved = quantize(ItemVectors(text), ids, cold, [], QuantizeConfig(), seed=0)
    assert all(check.passed for check in gate.checks(moved.health, QuantizeConfig()))
    assert moved.health["collisions"][1]["unique_share"] > moved.health["collisions"][0]["unique_share"]

    assert isinstance(tied.quantizer, ResidualKMeans)
    for alive in (60, 12):  # of 256 codes a level, so many stay where items are
        far = np.full((256 - alive, 128), 50, np.float32)
        broken = ResidualKMeans(
            tied.quantizer.mean, tuple(np.concatenate((level[:alive], far)) for level in tied.quantizer.centres)
        )
        unique, size = break_ties(broken.encode(text), ids, 256)
        found = health(text, text, broken, ItemCodes(unique, (256, 256, 256, size)), [], None, ids)
        failed = [check.what for check in gate.checks(found, config) if not check.passed]
        assert failed[:3] == [f"level {level} is used evenly" for level in "ABC"]


def test_the_demo_passes(tmp_path: Path) -> None:
    config = load_config(Path(sidrec.__file__).with_name("demo.toml"))
    run = pipeline.Run(tmp_path / "demo", config)
    for stage in (pipeline.ingest, pipeline.embed, pipeline.quantize):
        stage(run)
