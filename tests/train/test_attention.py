"""Packed attention and the loss: equal to unpacked ones, and no document sees another."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from sidrec.train import attention
from sidrec.train.attention import Documents
from sidrec.train.loss import AnswerLoss
from sidrec.train.pack import PackedBatch, pack
from sidrec.train.parts import recomputed_activations
from tests.train.small import conversations, tiny_model

torch.set_num_threads(1)


def unpacked_loss(model: PreTrainedModel, batch: PackedBatch) -> Tensor:
    """Each document alone through plain transformers, full logits: the reference."""
    total = torch.zeros(())
    ends = np.cumsum(batch.lengths)
    for start, end in zip(ends - batch.lengths, ends, strict=True):
        logits = model(input_ids=torch.from_numpy(batch.ids[start:end])[None], use_cache=False).logits[0]
        inside = (batch.keep >= start) & (batch.keep < end)
        rows, labels = torch.from_numpy(batch.keep[inside] - start), torch.from_numpy(batch.labels[inside])
        total = total + functional.cross_entropy(logits[rows], labels, reduction="sum")
    return total


def gradients(model: PreTrainedModel, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def packed(model: PreTrainedModel, batch: PackedBatch) -> Tensor:
    loss = AnswerLoss(model)
    with loss.on():
        return loss(batch)


@pytest.fixture
def batch() -> PackedBatch:
    data = conversations(12)
    return pack(data, np.arange(len(data)))


@pytest.mark.parametrize("short", [True, False], ids=["batched products", "one call a bucket"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("tied", [True, False])
def test_packed_loss_and_gradients_equal_unpacked(
    batch: PackedBatch, monkeypatch: pytest.MonkeyPatch, short: bool, checkpointing: bool, tied: bool
) -> None:
    if not short:
        monkeypatch.setattr(attention, "_SHORT_SCORES", 0)
    model = tiny_model(tied=tied).train()
    expected_loss = unpacked_loss(model, batch)
    expected = gradients(model, expected_loss)
    loss = AnswerLoss(model)
    with loss.on(), recomputed_activations(model) if checkpointing else nullcontext():
        found_loss = loss(batch)
        found = gradients(model, found_loss)
    assert torch.allclose(found_loss, expected_loss, rtol=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        scale = max(1.0, float(expected[name].abs().max()))
        assert float((gradient - expected[name]).abs().max()) < 1e-5 * scale, name


def test_a_chunked_head_gives_the_same_loss_and_gradients(batch: PackedBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    whole = packed(model, batch)
    expected = gradients(model, whole)
    monkeypatch.setattr("sidrec.train.loss._LOGITS", 5 * 64)  # five rows at a time
    chunked = packed(model, batch)
    assert torch.allclose(chunked, whole)
    for name, gradient in gradients(model, chunked).items():
        assert torch.allclose(gradient, expected[name], atol=1e-6), name


@pytest.mark.parametrize("short", [True, False])
def test_no_document_attends_to_another(batch: PackedBatch, monkeypatch: pytest.MonkeyPatch, short: bool) -> None:
    if not short:
        monkeypatch.setattr(attention, "_SHORT_SCORES", 0)
    model = tiny_model()
    loss = AnswerLoss(model)
    everywhere = torch.arange(len(batch.ids))
    first, last = int(batch.lengths[0]), len(batch.ids) - int(batch.lengths[-1])
    other = batch.ids.copy()
    other[first:last] = (other[first:last] + 7) % 64  # all documents but the first and the last
    changed = PackedBatch(other, batch.positions, batch.lengths, batch.keep, batch.labels)
    with loss.on(), torch.no_grad():
        before, after = loss.hidden(batch, everywhere), loss.hidden(changed, everywhere)
    assert torch.equal(before[:first], after[:first])
    assert torch.equal(before[last:], after[last:])
    assert not torch.allclose(before[first:last], after[first:last])


def test_nothing_is_left_in_the_model(batch: PackedBatch) -> None:
    model = tiny_model()
    before = model.config._attn_implementation
    packed(model, batch)
    assert model.config._attn_implementation == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    alone = torch.from_numpy(batch.ids[: batch.lengths[0]])[None]
    assert torch.isfinite(model(input_ids=alone).logits).all()


def test_a_step_with_every_position_as_answer_equals_full_logits() -> None:
    data = conversations(3)
    data.mask[:] = True
    batch = pack(data, np.arange(3))
    model = tiny_model()
    assert len(batch.labels) == len(data.tokens) - 3  # all but the three first tokens
    assert torch.allclose(packed(model, batch), unpacked_loss(model, batch), rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_documents_hold_every_position_once(lengths: list[int]) -> None:
    documents = Documents.of(np.asarray(lengths))
    total = sum(lengths)
    assert documents.bounds.tolist() == [0, *np.cumsum(lengths).tolist()]
    assert documents.longest == max(lengths)
    assert sum(n for n, _ in documents.buckets) == len(lengths)
    assert len(documents.gather) == sum(n * length for n, length in documents.buckets)
    assert int(documents.real.sum()) == total
    assert documents.gather[documents.scatter].tolist() == list(range(total))
    assert documents.real[documents.scatter].all()


@pytest.mark.parametrize("new_signature", [True, False])
def test_the_cuda_kernel_is_called_by_either_signature(monkeypatch: pytest.MonkeyPatch, new_signature: bool) -> None:
    """No GPU here: the call itself is checked against a plain attention with the kernel's two known signatures."""

    def attend(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor, scale: float) -> Tensor:
        parts = []
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            rows = [x[start:end].transpose(0, 1)[None] for x in (q, k, v)]
            out = functional.scaled_dot_product_attention(*rows, is_causal=True, scale=scale, enable_gqa=True)
            parts.append(out[0].transpose(0, 1))
        return torch.cat(parts)

    def older(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False):
        assert is_causal and q.shape == k.shape and torch.equal(cu_seq_q, cu_seq_k)
        return attend(q, k, v, cu_seq_q, q.shape[-1] ** -0.5)

    def newer(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1), enable_gqa=False):
        assert window_size == (-1, 0) and enable_gqa and max_q == max_k == 9
        return attend(q, k, v, cu_seq_q, scale)

    class Kernel:
        varlen_attn = staticmethod(newer if new_signature else older)

    monkeypatch.setattr(attention, "varlen", Kernel)
    documents = Documents.of(np.asarray([9, 4, 5]))
    torch.manual_seed(0)
    query, key, value = torch.randn(18, 4, 8), torch.randn(18, 2, 8), torch.randn(18, 2, 8)
    found = attention._varlen(query, key, value, documents, 0.3)
    assert torch.allclose(found, attention._bucketed(query, key, value, documents, 0.3), atol=1e-5)
