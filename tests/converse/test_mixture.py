"""Counts, weights, caps and order of the training and validation conversations."""

from __future__ import annotations

from collections import Counter

import pytest

from sidrec.config import EVALUATED_TASKS, TASKS, ConverseConfig
from sidrec.converse import task_counts, train_conversations, train_examples, valid_conversations
from sidrec.errors import DataError
from sidrec.types import Conversation
from tests.converse.shops import COLD, HELD_OUT, N_ITEMS, N_USERS, rich_codes, rich_shop, with_histories, with_items

WARM = N_ITEMS - len(COLD)


def made(config: ConverseConfig, seed: int = 0) -> list[Conversation]:
    return list(train_conversations(rich_shop(), rich_codes(), config, seed))


def counts(config: ConverseConfig, seed: int = 0) -> Counter[str]:
    return Counter(x.task for x in made(config, seed))


def test_counts_that_a_person_can_check() -> None:
    found = counts(ConverseConfig())
    for task in ("title_to_sid", "description_to_sid", "features_to_sid", "sid_to_title", "category_to_sid", "sid_to_context"):
        assert found[task] == WARM
    split_points = N_USERS * (4 - 1)  # four training purchases each
    assert found["seq_last_2"] == found["seq_last_3"] == found["seq_last_5"] == split_points
    pairs = N_USERS * (3 + 2 + 1)  # all pairs of four purchases lie within a window of 4
    assert found["copurchase_forward"] == found["copurchase_backward"] == pairs
    assert found["purchase_history"] == N_USERS
    assert found["bought_together"] == N_USERS * 2  # ending at the third and at the fourth purchase
    assert counts(ConverseConfig(window=1))["copurchase_forward"] == split_points
    assert found["prefix_to_category"] == found["prefix_to_examples"] == 5 + 10  # groups of one and of two codes


def test_tasks_come_in_the_order_of_the_config() -> None:
    assert list(dict.fromkeys(x.task for x in made(ConverseConfig()))) == list(TASKS)


def test_the_same_seed_gives_the_same_conversations_and_another_seed_others() -> None:
    config = ConverseConfig(default_weight=0.5)
    assert made(config, 3) == made(config, 3)
    assert made(config, 3) != made(config, 4)


def test_one_task_does_not_change_another() -> None:
    alone = made(ConverseConfig(default_weight=0.0, weights={"attributes_to_sid": 1.0}))
    assert alone == [x for x in made(ConverseConfig()) if x.task == "attributes_to_sid"]


def test_whole_weights_write_copies_in_different_wordings() -> None:
    found = made(ConverseConfig(default_weight=0.0, weights={"title_to_sid": 3.0}))
    assert len(found) == 3 * WARM
    by_item: dict[int, set[str]] = {}
    for conversation in found:
        by_item.setdefault(conversation.item_index, set()).add(conversation.messages[0].content)
    assert all(len(wordings) == 3 for wordings in by_item.values())


def test_fractions_keep_about_that_share() -> None:
    histories = [[i % 7, i % 11, i % 13] for i in range(2000)]
    corpus = with_histories(rich_shop(), histories, [3] * 2000, [3] * 2000)
    for weight in (0.25, 2.25):
        config = ConverseConfig(default_weight=0.0, weights={"seq_last_2": weight})
        written = sum(1 for _ in train_conversations(corpus, rich_codes(), config, 0))
        # 4,000 split points: the standard deviation of the fraction's part is sqrt(4,000 * 0.25 * 0.75) = 27
        assert abs(written - 4000 * weight) < 5 * 27


def test_caps() -> None:
    found = counts(ConverseConfig(max_per_task=7, caps={"seq_last_2": 4, "seq_last_3": 0}, weights={"seq_last_5": 2.0}))
    assert (found["title_to_sid"], found["seq_last_2"], found["seq_last_3"], found["seq_last_5"]) == (7, 4, 30, 7)
    capped = made(ConverseConfig(max_per_task=7))
    assert len({x.item_index for x in capped if x.task == "title_to_sid"}) == 7  # drawn without replacement
    every = {(x.task, x.item_index) for x in made(ConverseConfig())}
    assert {(x.task, x.item_index) for x in capped if x.task in EVALUATED_TASKS} <= every


def test_task_counts_tell_what_is_written_without_writing_it() -> None:
    config = ConverseConfig(weights={"seq_last_2": 0.4, "seq_last_3": 0.0, "sid_to_title": 2.0}, caps={"title_to_sid": 5})
    found = task_counts(rich_shop(), rich_codes(), config, 0)
    assert {x.task: x.written for x in found if x.written} == dict(counts(config))
    notes = {x.task: x.note for x in found}
    assert notes["seq_last_3"] == "weight 0"
    assert notes["sid_to_title"] == "weight 2"
    assert notes["title_to_sid"] == "cap 5 reached"
    assert notes["seq_last_5"] == ""


def test_tasks_without_data_are_named_with_what_they_need() -> None:
    empty = with_items(
        rich_shop(), description=[""] * N_ITEMS, features=[[]] * N_ITEMS, category=[[]] * N_ITEMS, brand=[""] * N_ITEMS
    )
    skipped = {x.task: x.note for x in task_counts(empty, rich_codes(), ConverseConfig(), 0) if not x.written}
    assert set(skipped) == {
        "description_to_sid", "features_to_sid", "sid_to_description", "sid_to_features", "sid_to_category", "sid_to_context",
        "description_snippet_to_sid", "category_to_sid", "prefix_to_category", "category_transition",
    }  # fmt: skip
    assert skipped["description_to_sid"] == "no data: needs items with a description"
    assert {x.task for x in train_conversations(empty, rich_codes(), ConverseConfig(), 0)} == set(TASKS) - set(skipped)


def test_examples_are_training_rows() -> None:
    config = ConverseConfig(default_weight=0.7)
    few = list(train_examples(rich_shop(), rich_codes(), config, 0, each=3))
    assert set(Counter(x.task for x in few).values()) == {3}
    assert set(few) <= set(made(config))


def test_validation_has_so_many_of_each_trained_task() -> None:
    config = ConverseConfig(valid_per_task=6, weights={"seq_last_3": 0.0})
    found = Counter(x.task for x in valid_conversations(rich_shop(), rich_codes(), config, 0))
    assert found.pop("bought_together") == 6
    assert set(found) == set(TASKS) - {"seq_last_3", "bought_together"}
    assert set(found.values()) == {6}


def test_validation_asks_for_validation_purchases() -> None:
    config = ConverseConfig(valid_per_task=300)
    for conversation in valid_conversations(rich_shop(), rich_codes(), config, 0):
        if conversation.task in ("seq_last_2", "seq_last_3", "seq_last_5", "copurchase_forward"):
            assert HELD_OUT <= conversation.item_index < HELD_OUT + N_USERS
        elif conversation.task in EVALUATED_TASKS and not conversation.task.startswith("copurchase"):
            assert conversation.item_index not in COLD


def test_corpus_and_codes_of_different_runs_are_refused() -> None:
    with pytest.raises(DataError, match="the corpus has 40 items, the codes have 39"):
        next(iter(train_conversations(rich_shop(), rich_codes(39), ConverseConfig(), 0)))
