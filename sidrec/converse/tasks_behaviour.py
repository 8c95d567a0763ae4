"""Purchases in, purchases out. Cold items take part: what customers did with them is training data, their text is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sidrec.converse.purchases import NONE
from sidrec.converse.shop import Shop
from sidrec.converse.spec import Example, Rows, TaskSpec, View

HISTORY = "List a customer's purchases in order."
BOUGHT_WITH = "Bought with {}"  # the form of `bought_with_prompt`
_BASKET = 4  # items of bought_together at most: one given, up to three asked for

_SEQUENCE_WORDINGS = (
    "Last purchases: {} Next?",
    "Recent purchases: {} What comes next?",
    "The customer bought {} and then",
    "{} What does this customer buy next?",
    "After {} comes",
)
_SEQUENCE_HELD_OUT = ("Last purchases: {} What does this customer buy next?",)


def _known(row: list[int]) -> list[int]:
    return [item for item in row if item != NONE]


def _last(count: int) -> Rows:
    return lambda view: view.purchases.sequences(count)


def _sequence(shop: Shop, row: list[int], draw: int) -> Example:
    *history, target = _known(row)
    return Example(shop.spell(history), shop.sids[target], target, tuple(history))


def _forward(view: View) -> NDArray[np.int32]:
    return view.purchases.pairs(view.window)


def _backward(view: View) -> NDArray[np.int32]:
    return view.purchases.pairs(view.window)[:, ::-1]


def _pair(shop: Shop, row: list[int], draw: int) -> Example:
    given, asked = row
    return Example(shop.sids[given], shop.sids[asked], asked, (given,))


def _history(shop: Shop, row: list[int], draw: int) -> Example:
    return Example("", shop.spell(_known(row)), -1)


def _category_steps(view: View) -> NDArray[np.int32]:
    """Both ends warm: the category text of a cold item is its own text."""
    usable = np.zeros(view.shop.corpus.n_items + 1, dtype=np.bool_)  # one more: the place of NONE
    usable[[item for item in view.shop.warm.tolist() if view.shop.categories[item]]] = True
    steps = view.purchases.sequences(1)
    return steps[usable[steps].all(axis=1)]


def _category_step(shop: Shop, row: list[int], draw: int) -> Example:
    last, following = row
    return Example(shop.categories[last], shop.categories[following], -1)


def _baskets(view: View) -> NDArray[np.int32]:
    return view.purchases.baskets(min(view.window, _BASKET - 1) + 1)


def _basket(shop: Shop, row: list[int], draw: int) -> Example:
    given, *others = _known(row)
    return Example(shop.sids[given], shop.spell(others), given, (given,))


def _sequence_task(count: int) -> TaskSpec:
    return TaskSpec(
        f"seq_last_{count}",
        needs="histories of two purchases and more",
        rows=_last(count),
        build=_sequence,
        wordings=_SEQUENCE_WORDINGS,
        held_out=_SEQUENCE_HELD_OUT,
    )


TASKS_BEHAVIOUR = (
    _sequence_task(2),
    _sequence_task(3),
    _sequence_task(5),
    TaskSpec(
        "copurchase_forward",
        needs="histories of two different purchases and more",
        rows=_forward,
        build=_pair,
        wordings=(
            BOUGHT_WITH,
            "Bought after {}",
            "What is bought soon after {}?",
            "{} What do customers add next?",
            "Customers who bought {} later bought",
        ),
        held_out=("What do customers who bought {} add next?",),
    ),
    TaskSpec(
        "copurchase_backward",
        needs="histories of two different purchases and more",
        rows=_backward,
        build=_pair,
        wordings=(
            "Bought before {}",
            "What was bought before {}?",
            "Customers bought {} after",
            "{} What came before it?",
            "Which purchase leads to {}?",
        ),
        held_out=("Which purchase came before {}?",),
    ),
    TaskSpec(
        "purchase_history",
        needs="histories of two purchases and more",
        rows=lambda view: view.purchases.windows(view.shown),
        build=_history,
        wordings=(HISTORY,),
        held_out=(HISTORY,),  # one fixed wording: it is the form of every request with a history
    ),
    TaskSpec(
        "category_transition",
        needs="histories of two purchases and more, with categories",
        rows=_category_steps,
        build=_category_step,
        wordings=("Last purchase: {} Next category?", "After {}, which category is next?"),
        held_out=("Which category is next after {}?",),
        asks_for_item=False,
    ),
    TaskSpec(
        "bought_together",
        needs="histories with three different purchases in a row, and a window of 2 and more",
        rows=_baskets,
        build=_basket,
        wordings=("Bought together with {}", "Which products share a basket with {}?"),
        held_out=("Which products are bought together with {}?",),
    ),
)
