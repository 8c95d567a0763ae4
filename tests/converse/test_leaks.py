"""No cold item's text and no held-out purchase is in anything that is learned from. Found by reading the output."""

from __future__ import annotations

import re

import pytest

from sidrec.config import ConverseConfig
from sidrec.converse import TASK_SPECS, train_conversations, valid_conversations
from sidrec.types import Conversation
from sidrec.vocabulary import SidVocabulary
from tests.converse.shops import COLD, HELD_OUT, N_ITEMS, N_USERS, rich_codes, rich_shop, texts, with_items

# twenty copies of each, so that every random choice (snippets, examples, neighbours) is made many times
CONFIG = ConverseConfig(default_weight=20.0, valid_per_task=10_000)
BEHAVIOUR = {"seq_last_2", "seq_last_3", "seq_last_5", "copurchase_forward", "copurchase_backward", "purchase_history"} | {
    "bought_together",
    "category_transition",
}

CODES = rich_codes()
SPELLED = {str(SidVocabulary(CODES.sizes, 0).spell(row)): item for item, row in enumerate(CODES.codes.tolist())}


@pytest.fixture(scope="module")
def train() -> list[Conversation]:
    return list(train_conversations(rich_shop(), CODES, CONFIG, 0))


@pytest.fixture(scope="module")
def valid() -> list[Conversation]:
    return valid_conversations(rich_shop(), CODES, CONFIG, 0)


def items_in(conversation: Conversation) -> set[int]:
    """Items whose whole semantic ID stands in a conversation."""
    found = re.findall(r"<\|sid_start\|>(?:<\|[A-D]\d+\|>)+<\|sid_end\|>", texts([conversation])[0])
    return {SPELLED[sid] for sid in found}


def marked_items(conversation: Conversation) -> set[int]:
    """Items whose own words stand in a conversation."""
    return {int(item) for item in re.findall(r"zq(\d+)z", texts([conversation])[0])}


def test_the_scan_sees_what_it_looks_for(train: list[Conversation], valid: list[Conversation]) -> None:
    warm = set(range(N_ITEMS)) - set(COLD)
    for part in (train, valid):
        assert set().union(*map(marked_items, part)) == warm
        for task in ("prefix_to_examples", "description_snippet_to_sid", "sid_to_features", "title_start_to_sid"):
            assert len(set().union(*(marked_items(x) for x in part if x.task == task))) > len(warm) / 2


def test_no_text_of_a_cold_item_is_learned(train: list[Conversation], valid: list[Conversation]) -> None:
    assert not [x for x in (*train, *valid) if marked_items(x) & set(COLD)]


def test_cold_items_appear_by_behaviour_only(train: list[Conversation], valid: list[Conversation]) -> None:
    for conversation in (*train, *valid):
        if conversation.task not in BEHAVIOUR:
            assert not items_in(conversation) & set(COLD)
            assert conversation.item_index not in COLD
    seen = set().union(*(items_in(x) for x in train if x.task in BEHAVIOUR))
    assert {18, 19} <= seen  # bought in training


def test_no_held_out_purchase_is_learned(train: list[Conversation]) -> None:
    behaviour = [x for x in train if x.task in BEHAVIOUR]
    assert set().union(*map(items_in, behaviour)) == set(range(HELD_OUT))
    assert all(x.item_index < HELD_OUT for x in behaviour)


def test_no_test_purchase_is_in_validation(valid: list[Conversation]) -> None:
    behaviour = [x for x in valid if x.task in BEHAVIOUR]
    seen = set().union(*map(items_in, behaviour))
    assert max(seen) == HELD_OUT + N_USERS - 1  # validation purchases are 20..29, test purchases 30..39
    assert all(x.item_index < HELD_OUT + N_USERS for x in behaviour)


def test_category_steps_of_held_out_purchases_are_not_learned() -> None:
    """The one behaviour task that speaks text: give each item a category of its own and look for it."""
    corpus = with_items(rich_shop(), category=[["Pets", f"czq{i}z"] for i in range(N_ITEMS)])
    config = ConverseConfig(default_weight=0.0, weights={"category_transition": 20.0}, valid_per_task=10_000)
    learned = set().union(*map(marked_items, train_conversations(corpus, CODES, config, 0)))
    assert learned == set(range(HELD_OUT)) - set(COLD)
    checked = set().union(*map(marked_items, valid_conversations(corpus, CODES, config, 0)))
    assert checked <= set(range(HELD_OUT + N_USERS)) - set(COLD)
    assert checked & set(range(HELD_OUT, HELD_OUT + N_USERS))


def test_every_task_was_looked_at(train: list[Conversation], valid: list[Conversation]) -> None:
    assert {x.task for x in train} == {x.task for x in valid} == set(TASK_SPECS)
