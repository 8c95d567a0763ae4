"""Item text, and what else is known of an item, to vectors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sidrec.config.base import Positive, Table


class GivenVectors(Table):
    """Vectors of the items that the shop has already, of images for example."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="What they are called, e.g. image.")
    file: str = Field(
        "",
        description="A table of item ids and lists of numbers (Parquet, JSONL, CSV), or .npy or .safetensors (a tensor "
        "'vectors') with the ids of its rows, one a line, in NAME.ids.txt beside it. Empty: the items table.",
    )
    column: str = Field("", description="Column of a table that holds the lists; empty: named as the vectors.")


class EmbedConfig(Table):
    """Item text to unit vectors."""

    encoder: str = Field(
        "tfidf",
        description="'tfidf' (TF-IDF and truncated SVD; no download), or a sentence-transformers model by name or folder.",
    )
    dimension: Positive = Field(128, description="tfidf: width after the truncated SVD.")
    fields: tuple[Literal["title", "brand", "category", "features", "description"], ...] = Field(
        ("title", "brand", "category", "features", "description"), description="What goes into an item's text, in this order."
    )
    max_chars: Positive = Field(2000, description="An item's text is cut here, at a whole word.")
    batch_size: Positive = Field(64, description="sentence-transformers: texts a batch, of similar length.")
    device: str = Field("auto", description="sentence-transformers: 'auto', 'cpu', 'cuda'...")
    given: tuple[GivenVectors, ...] = Field(
        (),
        description="More vectors of the items, from your files: one [[embed.given]] each, with name, file and column "
        "(docs/catalogue.md). Items without one are counted.",
    )
