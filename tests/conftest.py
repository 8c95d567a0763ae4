"""Tiny real stand-ins: a hand-made corpus, its codes, and a byte-level tokenizer."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidrec import columns as c
from sidrec.types import DROPPED_SCHEMA, HISTORY_SCHEMA, ITEM_SCHEMA, Corpus, ItemCodes


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data and the Qwen3 tokenizer, which the project may not carry."""
    folder = os.environ.get("SIDREC_SHARED", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SIDREC_SHARED names no folder with the real data")
    return Path(folder)


def make_corpus(n_items: int = 12, n_users: int = 8, length: int = 6) -> Corpus:
    """Item i is "Product i"; user u buys u, u+1, ... (modulo the catalogue), the last two held out."""
    items = pl.DataFrame(
        {
            c.ITEM_ID: [f"P{i:03}" for i in range(n_items)],
            c.TITLE: [f"Product {i} for cats" for i in range(n_items)],
            c.DESCRIPTION: [f"A fine thing number {i}. Cats like it." for i in range(n_items)],
            c.FEATURES: [[f"Feature {i}", "Washable"] for i in range(n_items)],
            c.BRAND: [f"Brand {i % 3}" for i in range(n_items)],
            c.CATEGORY: [["Pets", "Cats" if i % 2 else "Dogs"] for i in range(n_items)],
            c.PRICE: [float(i) + 0.99 for i in range(n_items)],
            c.COLD: [i == n_items - 1 for i in range(n_items)],
        },
        schema=ITEM_SCHEMA,
    )
    histories = pl.DataFrame(
        {
            c.USER_ID: [f"U{u:03}" for u in range(n_users)],
            c.ITEMS: [[(u + t) % n_items for t in range(length)] for u in range(n_users)],
            c.TIMES: [[1_600_000_000 + 86_400 * t for t in range(length)] for _ in range(n_users)],
            c.TRAIN_END: [length - 2] * n_users,
            c.VALID_END: [length - 1] * n_users,
        },
        schema=HISTORY_SCHEMA,
    )
    return Corpus(items, histories, pl.DataFrame(schema=DROPPED_SCHEMA))


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture
def codes() -> ItemCodes:
    rows = np.asarray([[i // 4, i % 4, 0, 0] for i in range(12)], dtype=np.int32)
    return ItemCodes(rows, (4, 4, 2, 2))
