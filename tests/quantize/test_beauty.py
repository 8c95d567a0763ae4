"""On the real Beauty catalogue: codes that know co-purchase say more about the next purchase."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidrec.config import QuantizeConfig
from sidrec.embed import TfidfEncoder
from sidrec.quantize import Quantized, quantize
from sidrec.types import ItemVectors


@pytest.mark.slow
def test_behaviour_makes_the_next_purchase_more_predictable(shared_data: Path) -> None:
    folder = shared_data / "data" / "beauty"
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text("utf-8").splitlines()]
    titles, ids = [row["title"] for row in rows], [row["item_id"] for row in rows]
    bought = (
        pl.read_csv(folder / "interactions.csv", schema_overrides={"user_id": pl.String, "item_id": pl.String})
        .join(pl.DataFrame({"item_id": ids, "item": np.arange(len(ids), dtype=np.int32)}), on="item_id")
        .sort("user_id", "timestamp")
        .group_by("user_id", maintain_order=True)
        .agg("item")["item"]
        .to_list()
    )
    train = [np.array(items[:-2], np.int32) for items in bought]  # the last purchase is test, the one before it validation
    last, following = np.array([items[-3:-1] for items in bought]).T
    vectors = ItemVectors(TfidfEncoder.fit(titles, 128, seed=0).encode(titles))
    cold = np.zeros(len(ids), np.bool_)

    def made(weight: float) -> Quantized:
        return quantize(vectors, ids, cold, train, QuantizeConfig(behaviour_weight=weight), seed=0)

    def share(result: Quantized, levels: int) -> float:
        codes = result.codes.codes[:, :levels]
        return float((codes[last] == codes[following]).all(axis=1).mean())

    text, fused = made(0.0), made(1.0)
    for result in (text, fused):
        learned = result.health["levels"][:-1]
        assert all(level["used"] == 256 and level["perplexity"] > 128 for level in learned), "a level collapsed"
    assert share(fused, 1) > 1.5 * share(text, 1)
    assert share(fused, 2) > 1.2 * share(text, 2)
    assert text.health["distinct_share"] > 0.8
    # 29 of the 12,101 titles repeat another letter for letter; others may differ in marks that TF-IDF does not read.
    assert text.health["duplicate_vectors"] >= 29
