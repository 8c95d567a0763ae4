"""Text in, an item out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sidrec.converse.phrases import shopper_request
from sidrec.converse.shop import PROMPT_WORDS, Shop, first_words
from sidrec.converse.spec import Example, Rows, TaskSpec, View

SEARCH = "Search: {}"  # the form of `text_prompt`; trained by every task below whose text a shopper could have typed
_SNIPPET = (8, 16)  # words
_MIN_START, _MIN_MIDDLE, _MAX_PART = 3, 5, 5  # words of a title, and of a part of it


def column(items: Sequence[int]) -> NDArray[np.int32]:
    """Items as rows of one column."""
    return np.asarray(items, dtype=np.int32).reshape(-1, 1)


def items_with(field: str, words: int = 1) -> Rows:
    """Rows: the usable items whose text has at least ``words`` words."""

    def rows(view: View) -> NDArray[np.int32]:
        texts: list[str] = getattr(view.shop, field)
        return column([i for i in view.items.tolist() if len(texts[i].split(maxsplit=words)) >= words])

    return rows


def _items_with_attributes(view: View) -> NDArray[np.int32]:
    shop = view.shop
    return column([i for i in view.items.tolist() if len(shop.words[i]) + bool(shop.paths[i]) >= 2])


def _title(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(shop.titles[row[0]], shop.sids[row[0]], row[0])


def _description(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(first_words(shop.descriptions[row[0]], PROMPT_WORDS), shop.sids[row[0]], row[0])


def _features(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(first_words(shop.features[row[0]], PROMPT_WORDS), shop.sids[row[0]], row[0])


def _title_start(shop: Shop, row: list[int], draw: int) -> Example:
    words = shop.titles[row[0]].split()
    count = 2 + draw % (min(_MAX_PART, len(words) - 1) - 1)
    return Example(" ".join(words[:count]), shop.sids[row[0]], row[0])


def _title_middle(shop: Shop, row: list[int], draw: int) -> Example:
    words = shop.titles[row[0]].split()
    draw, more = divmod(draw, min(_MAX_PART, len(words) - 2) - 1)
    start = 1 + draw % (len(words) - (2 + more) - 1)  # neither the first word nor the last
    return Example(" ".join(words[start : start + 2 + more]), shop.sids[row[0]], row[0])


def _snippet(shop: Shop, row: list[int], draw: int) -> Example:
    words = shop.descriptions[row[0]].split()
    shortest, longest = _SNIPPET
    draw, more = divmod(draw, min(longest, len(words)) - shortest + 1)
    start = draw % (len(words) - (shortest + more) + 1)
    return Example(" ".join(words[start : start + shortest + more]), shop.sids[row[0]], row[0])


def _category(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(shop.categories[row[0]], shop.sids[row[0]], row[0])


def _attributes(shop: Shop, row: list[int], draw: int) -> Example:
    item = row[0]
    narrow = shop.paths[item][-1] if shop.paths[item] else ""
    words, broad, brand, price = shop.words[item], shop.broad_levels[item], shop.brands[item], shop.prices[item]
    return Example(shopper_request(words, narrow, broad, brand, price, draw), shop.sids[item], item)


TASKS_TO_SID = (
    TaskSpec(
        "title_to_sid",
        needs="items with a title",
        rows=items_with("titles"),
        build=_title,
        wordings=(SEARCH, "Find this product: {}", "Which product is called {}?", "Product title: {}", "Show me {}"),
        held_out=("Show me the product called {}",),
        field="titles",
    ),
    TaskSpec(
        "description_to_sid",
        needs="items with a description",
        rows=items_with("descriptions"),
        build=_description,
        wordings=(
            "Which product is described here? {}",
            "Find the product from its description: {}",
            "Product description: {}",
            "{} Which product is this?",
            "Name the product described as: {}",
        ),
        held_out=("Which product has this description? {}",),
        field="descriptions",
    ),
    TaskSpec(
        "features_to_sid",
        needs="items with features",
        rows=items_with("features"),
        build=_features,
        wordings=(
            "Which product has these features? {}",
            "Find a product with these features: {}",
            "Product features: {}",
            "{} Which product has all of this?",
            "I want a product with: {}",
        ),
        held_out=("Show me the product with these features: {}",),
        field="features",
    ),
    TaskSpec(
        "title_start_to_sid",
        needs=f"items with {_MIN_START} words and more in the title",
        rows=items_with("titles", _MIN_START),
        build=_title_start,
        wordings=(SEARCH, "Title starts with: {}", "Find the product whose title starts with {}"),
        held_out=("Which title starts with {}?",),
    ),
    TaskSpec(
        "title_middle_to_sid",
        needs=f"items with {_MIN_MIDDLE} words and more in the title",
        rows=items_with("titles", _MIN_MIDDLE),
        build=_title_middle,
        wordings=(SEARCH, "Title contains: {}", "Find the product whose title contains {}"),
        held_out=("Which title contains {}?",),
    ),
    TaskSpec(
        "description_snippet_to_sid",
        needs=f"items with {_SNIPPET[0]} words and more in the description",
        rows=items_with("descriptions", _SNIPPET[0]),
        build=_snippet,
        wordings=(SEARCH, "Description contains: {}", "Which product is described like this? {}"),
        held_out=("Which description contains {}?",),
    ),
    TaskSpec(
        "category_to_sid",
        needs="items with a category",
        rows=items_with("categories"),
        build=_category,
        wordings=(SEARCH, "A product in the category {}", "Show me something from {}"),
        held_out=("Find something in the category {}",),
    ),
    TaskSpec(
        "attributes_to_sid",
        needs="items that share words of title or features, or have a category",
        rows=_items_with_attributes,
        build=_attributes,
        wordings=(SEARCH, "I need {}", "I am looking for {}", "Do you have {}?"),
        held_out=("Do you have something like {}?",),
    ),
)
