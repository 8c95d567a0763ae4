"""The room's door: items in, unit vectors out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.config import EmbedConfig
from sidrec.embed import sentence, tfidf
from sidrec.embed.sentence import SentenceEncoder
from sidrec.embed.texts import item_texts
from sidrec.embed.tfidf import TfidfEncoder
from sidrec.errors import ArtifactError, DataError
from sidrec.types import ItemVectors

ItemEncoder = TfidfEncoder | SentenceEncoder


def embed(items: pl.DataFrame, config: EmbedConfig, seed: int, workspace: Path) -> tuple[ItemVectors, ItemEncoder]:
    """Vectors of all items (``ITEM_SCHEMA`` frame), row i for item i, and the encoder that made them.

    The TF-IDF encoder learns from the items that are not cold; cold items are only encoded. ``workspace`` keeps the
    finished batches of a sentence-transformers model while it runs.

    Raises:
        DataError: there are no items to learn from, or an item has no text.
        ConfigError: there is no such model.
        MissingExtraError: the model needs sentence-transformers, which is not installed.
    """
    texts = item_texts(items, config)
    if not texts:
        raise DataError("there are no items to embed: run `sidrec doctor` to see what was left out, and why")
    if config.encoder != tfidf.KIND:
        model = SentenceEncoder(config.encoder, config.device, config.batch_size)
        return ItemVectors(model.encode_resumable(texts, workspace)), model
    warm = [text for text, cold in zip(texts, items[c.COLD].to_list(), strict=True) if not cold]
    if not warm:
        raise DataError("all items are cold, so there is no text to learn from: lower ingest.cold_share")
    learned = TfidfEncoder.fit(warm, config.dimension, seed)
    return ItemVectors(np.ascontiguousarray(learned.encode(texts))), learned


def encode_items(
    items: pl.DataFrame, encoder: ItemEncoder, config: EmbedConfig, workspace: Path | None = None
) -> NDArray[np.float32]:
    """Unit vectors, float32 ``(N, D)``, of items (``ITEM_SCHEMA`` frame) that the encoder did not learn from.

    ``workspace``: see ``embed``.

    Raises:
        DataError: an item has no text.
    """
    texts = item_texts(items, config)
    if workspace is not None and isinstance(encoder, SentenceEncoder):
        return encoder.encode_resumable(texts, workspace)
    return encoder.encode(texts)


def load_encoder(folder: Path, config: EmbedConfig) -> ItemEncoder:
    """The encoder that was saved in ``folder``; ``config`` says on which device and in what batches it runs.

    Raises:
        ArtifactError: none is there, or it is damaged.
    """
    path = folder / "encoder.json"
    try:
        table: dict[str, Any] = json.loads(path.read_text("utf-8"))
        kind = table["kind"]
        if kind == tfidf.KIND:
            return TfidfEncoder.load(folder)
        if kind == sentence.KIND:
            return SentenceEncoder(str(table["name"]), config.device, config.batch_size)
    except (FileNotFoundError, json.JSONDecodeError, KeyError) as error:
        raise ArtifactError(f"{path} is missing or damaged ({error}): run `sidrec embed` again") from None
    raise ArtifactError(f"{path} names an unknown kind of encoder, {kind!r}: it is of another version of sidrec")
