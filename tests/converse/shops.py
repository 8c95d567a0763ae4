"""A rich shop in which every text and every held-out purchase can be told apart by looking."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from sidrec import columns as c
from sidrec.schemas import DROPPED_SCHEMA, HISTORY_SCHEMA, ITEM_SCHEMA
from sidrec.types import Conversation, Corpus, ItemCodes

N_ITEMS = 40
N_USERS = 10
HELD_OUT = 20  # items 20..39: item 20 + u is user u's validation purchase, 30 + u the test purchase, of nobody else
COLD = (18, 19, 39)  # 18 and 19 are bought in training
_KINDS = ("food", "toy", "bed", "brush")
_SORTS = ("soft", "large", "grain-free", "washable", "senior")


def rich_shop() -> Corpus:
    """Every field is filled. The texts of item i hold words with ``zq<i>z``, which nothing else holds."""

    def mark(item: int, field: str) -> str:
        return f"{field}zq{item}z"

    number = range(N_ITEMS)
    items = pl.DataFrame(
        {
            c.ITEM_ID: [f"P{i:03}" for i in number],
            c.TITLE: [f"{mark(i, 't')} {_SORTS[i % 5]} {_KINDS[i % 4]} for happy pets" for i in number],
            c.DESCRIPTION: [
                f"A {_SORTS[i % 5]} thing for pets, {mark(i, 'd')} made with care. It lasts for years." for i in number
            ],
            c.FEATURES: [[f"{mark(i, 'f')} inside", f"{_SORTS[(i + 1) % 5]} cover"] for i in number],
            c.BRAND: [f"Maker{i % 3}" for i in number],
            c.CATEGORY: [["Pet Supplies", "Cats" if i % 2 else "Dogs", _KINDS[i % 4].title()] for i in number],
            c.PRICE: [float(i) for i in number],
            c.COLD: [i in COLD for i in number],
        },
        schema=ITEM_SCHEMA,
    )
    train = [[(2 * u + 5 * t) % HELD_OUT for t in range(4)] for u in range(N_USERS)]
    histories = pl.DataFrame(
        {
            c.USER_ID: [f"U{u:03}" for u in range(N_USERS)],
            c.ITEMS: [[*train[u], HELD_OUT + u, HELD_OUT + N_USERS + u] for u in range(N_USERS)],
            c.TIMES: [list(range(6))] * N_USERS,
            c.TRAIN_END: [4] * N_USERS,
            c.VALID_END: [5] * N_USERS,
        },
        schema=HISTORY_SCHEMA,
    )
    return Corpus(items, histories, pl.DataFrame(schema=DROPPED_SCHEMA))


def rich_codes(n_items: int = N_ITEMS) -> ItemCodes:
    """Eight items share a first code, four of them the first two."""
    rows = [[i // 8, i // 4 % 2, i % 4, 0] for i in range(n_items)]
    return ItemCodes(np.asarray(rows, dtype=np.int32), (max(5, n_items // 8 + 1), 2, 4, 2))


def with_histories(corpus: Corpus, histories: list[list[int]], train_end: list[int], valid_end: list[int]) -> Corpus:
    """The same items, other purchases."""
    frame = pl.DataFrame(
        {
            c.USER_ID: [f"U{u}" for u in range(len(histories))],
            c.ITEMS: histories,
            c.TIMES: [list(range(len(row))) for row in histories],
            c.TRAIN_END: train_end,
            c.VALID_END: valid_end,
        },
        schema=HISTORY_SCHEMA,
    )
    return Corpus(corpus.items, frame, corpus.dropped)


def with_items(corpus: Corpus, **columns: list[object]) -> Corpus:
    """The same corpus with other values in some item columns."""
    changed = [pl.Series(name, values, dtype=ITEM_SCHEMA[name]) for name, values in columns.items()]
    return Corpus(corpus.items.with_columns(changed), corpus.histories, corpus.dropped)


def texts(conversations: Iterable[Conversation]) -> list[str]:
    """Each conversation's turns in one text."""
    return ["\n".join(message.content for message in x.messages) for x in conversations]
