"""The Beauty benchmark: only titles, 22,363 users, real histories."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidrec import columns as c
from sidrec.config import ConverseConfig
from sidrec.converse import task_counts, test_samples, train_conversations
from sidrec.schemas import DROPPED_SCHEMA, HISTORY_SCHEMA, ITEM_SCHEMA
from sidrec.types import Corpus, ItemCodes


@pytest.fixture(scope="module")
def beauty(shared_data: Path) -> Corpus:
    rows = [json.loads(line) for line in (shared_data / "data/beauty/items.jsonl").read_text("utf-8").splitlines()]
    index = {row["item_id"]: i for i, row in enumerate(rows)}
    empty = {c.DESCRIPTION: "", c.FEATURES: [], c.BRAND: "", c.CATEGORY: [], c.PRICE: None}
    items = pl.DataFrame(
        [{c.ITEM_ID: row["item_id"], c.TITLE: row["title"], c.COLD: i % 50 == 0, **empty} for i, row in enumerate(rows)],
        schema=ITEM_SCHEMA,
    )
    histories = (
        pl.read_csv(shared_data / "data/beauty/interactions.csv", schema_overrides={"item_id": pl.String})
        .group_by("user_id", maintain_order=True)
        .agg(
            pl.col("item_id").replace_strict(index, return_dtype=pl.Int32).sort_by("timestamp").alias(c.ITEMS),
            pl.col("timestamp").sort().cast(pl.Int64).alias(c.TIMES),
        )
        .with_columns(
            (pl.col(c.ITEMS).list.len().cast(pl.Int32) - 2).alias(c.TRAIN_END),
            (pl.col(c.ITEMS).list.len().cast(pl.Int32) - 1).alias(c.VALID_END),
        )
    )
    return Corpus(items, histories.select(*HISTORY_SCHEMA), pl.DataFrame(schema=DROPPED_SCHEMA))


def test_beauty(beauty: Corpus) -> None:
    n = beauty.n_items
    codes = ItemCodes(np.stack(np.unravel_index(np.arange(n), (12, 32, 32, 2)), axis=1).astype(np.int32), (12, 32, 32, 2))
    written = {x.task: x.written for x in task_counts(beauty, codes, ConverseConfig(), 0)}
    warm = n - len(range(0, n, 50))
    assert written["title_to_sid"] == written["sid_to_title"] == warm
    # 198,502 purchases less validation, test and first purchase of 22,363 users
    assert written["seq_last_2"] == written["seq_last_5"] == 198_502 - 3 * 22_363
    assert written["copurchase_forward"] == written["copurchase_backward"] > written["seq_last_2"]
    assert written["description_to_sid"] == written["sid_to_features"] == written["category_transition"] == 0
    few = ConverseConfig(max_per_task=2000)
    found = Counter(x.task for x in train_conversations(beauty, codes, few, 0))
    assert found == {task: min(2000, count) for task, count in written.items() if count}
    samples = Counter((x.task, x.cold) for x in test_samples(beauty, codes, ConverseConfig(), 0))
    assert samples["seq_last_2", False] + samples["seq_last_2", True] == 3000
    assert samples["title_to_sid", False] + samples["title_to_sid", True] == 3000
    assert samples["title_to_sid", True] > 200
