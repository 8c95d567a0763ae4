"""Every task kind: its wordings, and that it makes something."""

from __future__ import annotations

import re

import pytest

from sidrec.config import EVALUATED_TASKS, TASKS, ConverseConfig
from sidrec.converse import TASK_SPECS, TaskSpec, test_samples, train_conversations, valid_conversations
from sidrec.types import Conversation
from sidrec.vocabulary import REC
from tests.converse.shops import rich_codes, rich_shop

SPECS = list(TASK_SPECS.values())
ONE_WORDING = "purchase_history"


def words(wording: str) -> set[str]:
    return set(re.findall(r"[a-z']+", wording.lower()))


def fits(content: str, wording: str) -> bool:
    """Whether a user turn may have been made of this wording."""
    before, slot, after = wording.partition("{}")
    content = content.removesuffix(REC)
    return content.startswith(before) and content.endswith(after) if slot else content == wording


@pytest.fixture(scope="module")
def train() -> list[Conversation]:
    return list(train_conversations(rich_shop(), rich_codes(), ConverseConfig(), 0))


def test_the_registry_is_the_list_of_tasks() -> None:
    assert tuple(TASK_SPECS) == TASKS
    assert len(TASKS) == 24


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_wordings(spec: TaskSpec) -> None:
    if spec.name == ONE_WORDING:
        assert spec.wordings == spec.held_out
        return
    assert len(spec.wordings) >= (5 if spec.name in EVALUATED_TASKS else 2)
    assert len(set(spec.wordings)) == len(spec.wordings)
    assert spec.held_out and not set(spec.held_out) & set(spec.wordings)
    for wording in (*spec.wordings, *spec.held_out):
        assert wording.count("{}") == 1
        assert len(wording.split()) < 12


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_held_out_wordings_have_no_unseen_word(spec: TaskSpec) -> None:
    trained = set().union(*(words(wording) for other in SPECS for wording in other.wordings))
    assert not set().union(*map(words, spec.held_out)) - trained


def test_every_task_makes_something(train: list[Conversation]) -> None:
    assert {x.task for x in train} == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_conversations_are_a_question_and_an_answer(task: str, train: list[Conversation]) -> None:
    for conversation in (x for x in train if x.task == task):
        question, answer = conversation.messages
        assert (question.role, answer.role) == ("user", "assistant")
        assert answer.content
        assert any(fits(question.content, wording) for wording in TASK_SPECS[task].wordings)
        closed = question.content.endswith(REC) and question.spans[-1][1] == len(question.content)
        assert closed == TASK_SPECS[task].asks_for_item
        if closed:
            assert answer.spans == ((0, len(answer.content)),)
        else:
            assert answer.spans == ()


def test_held_out_wordings_are_in_no_training_row(train: list[Conversation]) -> None:
    held_out = [wording for spec in SPECS if spec.name != ONE_WORDING for wording in spec.held_out]
    assert not [x.messages[0].content for x in train for w in held_out if fits(x.messages[0].content, w)]


def test_validation_and_test_use_held_out_wordings() -> None:
    config = ConverseConfig(test_per_task=0)
    made = [(x.task, x.messages[0].content) for x in valid_conversations(rich_shop(), rich_codes(), config, 0)]
    made += [(x.task, x.messages[0].content) for x in test_samples(rich_shop(), rich_codes(), config, 0)]
    assert {task for task, _ in made} == set(TASKS)
    for task, content in made:
        assert any(fits(content, wording) for wording in TASK_SPECS[task].held_out)
