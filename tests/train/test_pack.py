"""The flat cache, the plan of an epoch, and batches as a function of the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.errors import ConfigError, DataError
from sidrec.render import Renderer
from sidrec.train import TokenizedConversations, plan_epoch, tokenize
from sidrec.train.pack import Steps, pack
from sidrec.types import Conversation, Message
from tests.train.small import conversations


def two_documents() -> TokenizedConversations:
    """[10 11 12 | 13] and [20 21 | 22 23 24]: the answer stands behind the bar."""
    tokens = np.asarray([10, 11, 12, 13, 20, 21, 22, 23, 24], dtype=np.int32)
    mask = np.asarray([0, 0, 0, 1, 0, 0, 1, 1, 1], dtype=np.bool_)
    return TokenizedConversations(tokens, mask, np.asarray([0, 4, 9]))


def test_labels_are_the_next_tokens_of_the_same_document() -> None:
    batch = pack(two_documents(), np.asarray([0, 1]))
    assert batch.ids.tolist() == [20, 21, 22, 23, 24, 10, 11, 12, 13]  # longest first
    assert batch.positions.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert batch.lengths.tolist() == [5, 4]
    assert batch.labels.tolist() == [22, 23, 24, 13]
    assert batch.ids[batch.keep].tolist() == [21, 22, 23, 12]


def test_the_first_token_of_a_document_is_nobodys_label() -> None:
    data = two_documents()
    data.mask[:] = True
    batch = pack(data, np.asarray([0, 1]))
    assert batch.labels.tolist() == [21, 22, 23, 24, 11, 12, 13]
    assert 4 not in batch.keep.tolist()  # the last token of the first document predicts nothing


def test_tokenize_keeps_order_and_mask_and_leaves_long_ones_out(renderer: Renderer) -> None:
    rows = [
        Conversation("t", (Message.of("user", "cats"), Message.of("assistant", "dogs " * n)))
        for n in (1, 200, 2)
    ]  # fmt: skip
    data = tokenize(iter(rows), renderer, max_tokens=100)
    assert (len(data), data.left_out) == (2, 1)
    for i, row in enumerate((rows[0], rows[2])):
        rendered, span = renderer.conversation(row), slice(data.offsets[i], data.offsets[i + 1])
        assert data.tokens[span].tolist() == rendered.ids.tolist()
        assert data.mask[span].tolist() == rendered.mask.tolist()
    assert data.tokens.dtype == np.int32 and data.offsets.dtype == np.int64


def test_tokenize_of_nothing_is_empty(renderer: Renderer) -> None:
    data = tokenize([], renderer, max_tokens=100)
    assert len(data) == 0 and data.offsets.tolist() == [0]
    with pytest.raises(DataError, match="no conversation has an answer"):
        Steps(data, 64, 64, seed=0)


def test_damaged_offsets_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit together"):
        TokenizedConversations(np.zeros(5, np.int32), np.zeros(5, np.bool_), np.asarray([0, 3, 4]))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(0, 3), st.integers(0, 5))
def test_an_epoch_holds_each_conversation_once_within_the_budget(lengths: list[int], seed: int, epoch: int) -> None:
    plan = plan_epoch(np.asarray(lengths), 50, seed, epoch)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in part) <= 50 for part in plan)
    again = plan_epoch(np.asarray(lengths), 50, seed, epoch)
    assert [part.tolist() for part in plan] == [part.tolist() for part in again]


def test_next_fit_fills_rows() -> None:
    lengths = np.random.default_rng(0).integers(30, 131, 20_000)
    plan = plan_epoch(lengths, 8192, seed=0, epoch=0)
    assert lengths.sum() / (8192 * len(plan)) > 0.985
    assert plan[0].tolist() != plan_epoch(lengths, 8192, seed=0, epoch=1)[0].tolist()


def test_a_step_is_a_token_budget() -> None:
    data = conversations(40)
    steps = Steps(data, tokens_per_step=150, tokens_per_batch=64, seed=3)
    assert (steps.micro_batches, steps.tokens_per_batch) == (3, 50)
    seen = np.concatenate([b.ids for step in range(steps.in_epoch(0)) for b in steps.batch(step)])
    assert sorted(seen.tolist()) == sorted(data.tokens.tolist())  # one epoch: each conversation once
    assert steps.total(steps=0, epochs=2.0) == steps.in_epoch(0) + steps.in_epoch(1)
    assert steps.total(steps=0, epochs=0.5) == round(steps.in_epoch(0) / 2)
    assert steps.total(steps=7, epochs=2.0) == 7


def test_a_batch_depends_only_on_the_step() -> None:
    data = conversations(40)
    forward = [[b.ids.tolist() for b in Steps(data, 128, 64, 1).batch(step)] for step in range(12)]
    steps = Steps(data, 128, 64, 1)
    backward = [[b.ids.tolist() for b in steps.batch(step)] for step in reversed(range(12))]
    assert forward == backward[::-1]
    assert forward != [[b.ids.tolist() for b in Steps(data, 128, 64, 2).batch(step)] for step in range(12)]


def test_a_conversation_that_fits_no_batch_is_named() -> None:
    with pytest.raises(ConfigError, match="30 tokens and a micro-batch 20"):
        Steps(conversations(40), tokens_per_step=20, tokens_per_batch=20, seed=0)


def test_conversations_without_an_answer_are_passed_over() -> None:
    data = two_documents()
    data.mask[:4] = False
    steps = Steps(data, 9, 9, seed=0)
    assert [b.ids.tolist() for b in steps.batch(0)] == [[20, 21, 22, 23, 24]]
