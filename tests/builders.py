"""Tiny real values that a person can check by hand."""

from __future__ import annotations

import polars as pl
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from sidrec import columns as c
from sidrec.schemas import DROPPED_SCHEMA, HISTORY_SCHEMA, ITEM_SCHEMA
from sidrec.types import Corpus
from sidrec.vocabulary import SidVocabulary


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


def make_tokenizer(sizes: tuple[int, ...] = (4, 4, 2, 2)) -> Tokenizer:
    """A byte-level BPE with Qwen3's control tokens and the SID tokens of ``sizes``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(["user assistant Product for cats"] * 4, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    first_id = tokenizer.get_vocab_size()
    tokens = SidVocabulary(sizes, first_id).tokens
    tokenizer.add_tokens([AddedToken(str(token), normalized=False, special=False) for token in tokens])
    return tokenizer
