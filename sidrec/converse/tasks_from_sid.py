"""An item, or the beginning of its semantic ID, in; text or a similar item out. Only warm items, everywhere."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from sidrec.converse.shop import ANSWER_WORDS, Shop, first_words
from sidrec.converse.spec import Example, TaskSpec, View
from sidrec.converse.tasks_to_sid import column, items_with

_EXAMPLES = 3  # titles of prefix_to_examples
_EXAMPLE_WORDS = 12  # words of each
_SENTENCE_WORDS = 25
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def _title(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(shop.sids[row[0]], shop.titles[row[0]], row[0])


def _description(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(shop.sids[row[0]], first_words(shop.descriptions[row[0]], ANSWER_WORDS), row[0])


def _features(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(shop.sids[row[0]], first_words(shop.features[row[0]], ANSWER_WORDS), row[0])


def _category(shop: Shop, row: list[int], draw: int) -> Example:
    return Example(shop.sids[row[0]], shop.categories[row[0]], row[0])


def _known_facts(shop: Shop, item: int) -> int:
    found = (shop.categories[item], shop.brands[item], shop.descriptions[item], shop.prices[item] is not None)
    return sum(map(bool, found))


def _items_with_facts(view: View) -> NDArray[np.int32]:
    return column([i for i in view.items.tolist() if _known_facts(view.shop, i) >= 2])


def _context(shop: Shop, row: list[int], draw: int) -> Example:
    item = row[0]
    price, (low, high) = shop.prices[item], shop.price_limits
    parts = [shop.categories[item]] if shop.categories[item] else []
    if shop.brands[item]:
        parts.append(f"Brand: {shop.brands[item]}")
    if price is not None:
        parts.append(f"Price: {'low' if price < low else 'high' if price > high else 'middle'}")
    if shop.descriptions[item]:
        parts.append(first_words(_SENTENCE_END.split(shop.descriptions[item], maxsplit=1)[0], _SENTENCE_WORDS))
    return Example(shop.sids[item], "; ".join(parts), item)


def _items_with_neighbours(view: View) -> NDArray[np.int32]:
    depth = view.shop.prefix_depths[-1:]
    return column([i for i in view.items.tolist() for d in depth if len(view.shop.group(d, i)) > 1])


def _similar(shop: Shop, row: list[int], draw: int) -> Example:
    others = [item for item in shop.group(shop.prefix_depths[-1], row[0]) if item != row[0]]
    other = others[draw % len(others)]
    return Example(shop.sids[row[0]], shop.sids[other], other, (row[0],))


def _prefixes(view: View, category: bool) -> NDArray[np.int32]:
    """Rows of depth and one item of the group, for groups of two and more."""
    shop = view.shop
    rows = [
        (depth, group[0])
        for depth in shop.prefix_depths
        for group in shop.groups[depth].values()
        if len(group) > 1 and (not category or any(shop.categories[item] for item in group))
    ]
    return np.asarray(rows, dtype=np.int32).reshape(-1, 2)


def _prefix_category(shop: Shop, row: list[int], draw: int) -> Example:
    counts = Counter(shop.categories[item] for item in shop.group(*row) if shop.categories[item])
    commonest = min(counts, key=lambda name: (-counts[name], name))
    return Example(shop.spell_prefix(*row), commonest, -1)


def _prefix_examples(shop: Shop, row: list[int], draw: int) -> Example:
    left = list(shop.group(*row))
    chosen: list[str] = []
    while left and len(chosen) < _EXAMPLES:
        draw, at = divmod(draw, len(left))
        chosen.append(first_words(shop.titles[left.pop(at)], _EXAMPLE_WORDS))
    return Example(shop.spell_prefix(*row), "; ".join(chosen), -1)


TASKS_FROM_SID = (
    TaskSpec(
        "sid_to_title",
        needs="items with a title",
        rows=items_with("titles"),
        build=_title,
        wordings=(
            "What is {} called?",
            "Title of {}",
            "Name this product: {}",
            "{} What is its title?",
            "Give the title of {}",
        ),
        held_out=("What is the title of {}?",),
        asks_for_item=False,
        field="titles",
    ),
    TaskSpec(
        "sid_to_description",
        needs="items with a description",
        rows=items_with("descriptions"),
        build=_description,
        wordings=("Describe {}", "Description of {}", "What is {} like?", "Tell me about {}", "{} Describe this product."),
        held_out=("Give the description of {}",),
        asks_for_item=False,
        field="descriptions",
    ),
    TaskSpec(
        "sid_to_features",
        needs="items with features",
        rows=items_with("features"),
        build=_features,
        wordings=(
            "Features of {}",
            "List the features of {}",
            "Tell me the features of {}",
            "{} What are its features?",
            "Which features does {} have?",
        ),
        held_out=("What are the features of {}?",),
        asks_for_item=False,
        field="features",
    ),
    TaskSpec(
        "sid_to_category",
        needs="items with a category",
        rows=items_with("categories"),
        build=_category,
        wordings=("Category of {}", "In which category is {}?"),
        held_out=("What is the category of {}?",),
        asks_for_item=False,
    ),
    TaskSpec(
        "sid_to_context",
        needs="items with two of category, brand, price and description",
        rows=_items_with_facts,
        build=_context,
        wordings=("Facts about {}", "Summarize {}"),
        held_out=("Give the facts about {}",),
        asks_for_item=False,
    ),
    TaskSpec(
        "similar_items",
        needs="items that share the first codes of their semantic ID",
        rows=_items_with_neighbours,
        build=_similar,
        wordings=("Similar to {}", "A product like {}", "What is similar to {}?"),
        held_out=("Show me a product similar to {}",),
    ),
    TaskSpec(
        "prefix_to_category",
        needs="items that share the first codes of their semantic ID, with a category",
        rows=lambda view: _prefixes(view, category=True),
        build=_prefix_category,
        wordings=("Category under {}", "Which category do products under {} share?"),
        held_out=("What is the category under {}?",),
        asks_for_item=False,
    ),
    TaskSpec(
        "prefix_to_examples",
        needs="items that share the first codes of their semantic ID",
        rows=lambda view: _prefixes(view, category=False),
        build=_prefix_examples,
        wordings=("Examples under {}", "Name products under {}"),
        held_out=("List examples under {}",),
        asks_for_item=False,
    ),
)
