"""The evaluation samples."""

from __future__ import annotations

from collections import Counter

import pytest

from sidrec import converse
from sidrec.config import EVALUATED_TASKS, ConverseConfig
from sidrec.converse.shop import Shop
from sidrec.types import Corpus, TaskSample
from tests.converse.shops import COLD, HELD_OUT, N_ITEMS, N_USERS, rich_codes, rich_shop, with_items

FIRST_TEST = HELD_OUT + N_USERS
TEXT_TASKS = [task for task in EVALUATED_TASKS if not task.startswith(("seq", "copurchase"))]


def samples(config: ConverseConfig, corpus: Corpus | None = None, seed: int = 0) -> list[TaskSample]:
    return list(converse.test_samples(corpus or rich_shop(), rich_codes(), config, seed))


@pytest.fixture(scope="module")
def every() -> list[TaskSample]:
    return samples(ConverseConfig(test_per_task=0))


def test_all_samples(every: list[TaskSample]) -> None:
    found = Counter(x.task for x in every)
    assert tuple(found) == EVALUATED_TASKS
    assert all(found[task] == N_ITEMS for task in TEXT_TASKS)
    assert found["seq_last_2"] == found["seq_last_3"] == found["seq_last_5"] == N_USERS
    assert found["copurchase_forward"] == found["copurchase_backward"] == N_USERS * 4


def test_sequences_ask_for_the_test_purchase_after_the_last_n(every: list[TaskSample]) -> None:
    user = [x for x in every if x.task == "seq_last_3"][2]
    assert (user.item_index, user.history) == (FIRST_TEST + 2, (14, 19, HELD_OUT + 2))  # two training, one validation purchase
    assert user.messages[0].content.count("<|sid_start|>") == 3


def test_pairs_have_the_test_purchase_at_one_end(every: list[TaskSample]) -> None:
    for sample in every:
        if sample.task == "copurchase_forward":
            assert sample.item_index >= FIRST_TEST > sample.history[0]
        elif sample.task == "copurchase_backward":
            assert sample.history[0] >= FIRST_TEST > sample.item_index


def test_text_tasks_name_their_item_and_their_reference(every: list[TaskSample]) -> None:
    shop = Shop(rich_shop(), rich_codes())
    for sample in every:
        if sample.task == "sid_to_title":
            assert sample.reference == shop.titles[sample.item_index]
            assert shop.sids[sample.item_index] in sample.messages[0].content
        elif sample.task == "title_to_sid":
            assert sample.reference == ""
            assert shop.titles[sample.item_index] in sample.messages[0].content
        elif sample.task == "sid_to_description":
            assert shop.descriptions[sample.item_index].startswith(sample.reference)


def test_cold_is_told_of_every_sample(every: list[TaskSample]) -> None:
    assert all(x.cold == (x.item_index in COLD) for x in every)


@pytest.mark.parametrize(("count", "cold"), [(4, 2), (10, 3), (39, 3), (0, 3)])
def test_cold_items_are_up_to_half(count: int, cold: int) -> None:
    found = [x for x in samples(ConverseConfig(test_per_task=count)) if x.task == "title_to_sid"]
    assert (len(found), sum(x.cold for x in found)) == (count or N_ITEMS, cold)


def test_a_small_warm_catalogue_is_filled_up_with_cold_items() -> None:
    corpus = with_items(rich_shop(), cold=[i >= 5 for i in range(N_ITEMS)])
    found = [x for x in samples(ConverseConfig(test_per_task=30), corpus) if x.task == "title_to_sid"]
    assert (len(found), sum(x.cold for x in found)) == (30, 25)


def test_a_cold_item_with_a_warm_twin_is_not_called_unseen() -> None:
    titles = rich_shop().items["title"].to_list()
    corpus = with_items(rich_shop(), title=[titles[0] if i == 18 else title for i, title in enumerate(titles)])
    found = samples(ConverseConfig(test_per_task=0), corpus)
    assert 18 not in {x.item_index for x in found if x.task in ("title_to_sid", "sid_to_title")}
    assert 18 in {x.item_index for x in found if x.task == "description_to_sid"}


def test_samples_are_drawn_by_the_seed_and_paired_across_tasks() -> None:
    config = ConverseConfig(test_per_task=5)
    assert samples(config, seed=1) == samples(config, seed=1)
    assert samples(config, seed=1) != samples(config, seed=2)
    asked = {task: [x.item_index for x in samples(config) if x.task == task] for task in EVALUATED_TASKS}
    assert asked["seq_last_2"] == asked["seq_last_5"]
    assert asked["title_to_sid"] == asked["sid_to_title"]


def test_weights_do_not_change_the_samples() -> None:
    assert samples(ConverseConfig(default_weight=0.0)) == samples(ConverseConfig())


def test_validation_and_test_take_different_items_where_there_are_enough() -> None:
    config = ConverseConfig(test_per_task=10, valid_per_task=10)
    asked = {(x.task, x.item_index) for x in samples(config) if x.task in TEXT_TASKS}
    checked = {(x.task, x.item_index) for x in converse.valid_conversations(rich_shop(), rich_codes(), config, 0)}
    assert not asked & checked


def test_tasks_without_data_have_no_samples() -> None:
    corpus = with_items(rich_shop(), features=[[]] * N_ITEMS)
    assert {x.task for x in samples(ConverseConfig(), corpus)} == set(EVALUATED_TASKS) - {"features_to_sid", "sid_to_features"}
