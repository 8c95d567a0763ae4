"""The text of each item: what the encoders read."""

from __future__ import annotations

import polars as pl

from sidrec import columns as c
from sidrec.config import EmbedConfig
from sidrec.errors import DataError

# One field a line: white space to TF-IDF and WordPiece, a plain boundary to a language model's tokenizer.
_BETWEEN_FIELDS = "\n"
_LISTS = {c.FEATURES: "; ", c.CATEGORY: " > "}


def item_texts(items: pl.DataFrame, config: EmbedConfig) -> list[str]:
    """One text an item (``ITEM_SCHEMA`` frame), row i for item i: ``config.fields`` in order, one a line.

    Empty fields leave no line behind. A text longer than ``config.max_chars`` is cut at the last white space within;
    one without any is cut there all the same.

    Raises:
        DataError: an item has no text in these fields.
    """
    limit = config.max_chars
    joined = pl.concat_str([_field(name) for name in config.fields], separator=_BETWEEN_FIELDS, ignore_nulls=True)
    # One character more than allowed: if that one is white space, the word before it is whole.
    head = pl.col("text").str.slice(0, limit + 1)
    at_word = head.str.replace(r"(?s)\s\S*$", "").str.strip_chars()
    cut = pl.when(head.str.contains(r"\s")).then(at_word).otherwise(head.str.slice(0, limit))
    texts = (
        items.select(c.ITEM_ID, joined.str.strip_chars().alias("text"))
        .with_columns(pl.when(pl.col("text").str.len_chars() > limit).then(cut).otherwise(pl.col("text")).alias("text"))
        .with_row_index("row")
    )
    empty = texts.filter(pl.col("text") == "")
    if empty.height:
        others = f" ({empty.height - 1} more are like it)" if empty.height > 1 else ""
        raise DataError(
            f"item {empty[c.ITEM_ID][0]!r} (row {empty['row'][0]}) has no text in {', '.join(config.fields)}{others}: "
            "name a field that every item has in embed.fields, or leave such items out"
        )
    return texts["text"].to_list()


def _field(name: str) -> pl.Expr:
    column = pl.col(name)
    if name in _LISTS:
        stripped = pl.element().str.strip_chars()
        column = column.list.eval(stripped.filter(stripped != "")).list.join(_LISTS[name])
    column = column.str.strip_chars()
    return pl.when(column != "").then(column).otherwise(None)
