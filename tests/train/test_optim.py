"""The schedule against numbers worked out by hand, the optimiser's groups, and the precision of a step."""

from __future__ import annotations

import importlib.util
import itertools
import sys

import pytest
import torch

from sidrec.config import StageConfig
from sidrec.errors import ConfigError, MissingExtraError
from sidrec.train.loss import AnswerLoss
from sidrec.train.optim import Computer, learning_rate, make_optimizer, resolve_device
from sidrec.train.pack import Steps, pack
from sidrec.train.step import Worker
from tests.train.small import STAGE, conversations, tiny_model

torch.set_num_threads(1)


def test_the_schedule_by_hand() -> None:
    # 10 steps, 30 % warm-up = 3 steps; then 7 steps of half a cosine from 0.01 down to 0.2 x 0.01
    config = StageConfig(learning_rate=0.01, warmup_ratio=0.3, min_learning_rate_ratio=0.2)
    rates = [learning_rate(step, 10, config) for step in range(10)]
    assert rates[:3] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01])
    # cos(pi / 7) = 0.9009689, cos(2 pi / 7) = 0.6234898, cos(3 pi / 7) = 0.2225209
    assert rates[3:6] == pytest.approx([0.002 + 0.004 * 1.9009689, 0.002 + 0.004 * 1.6234898, 0.002 + 0.004 * 1.2225209])
    assert rates[9] == pytest.approx(0.002)
    assert all(a > b for a, b in itertools.pairwise(rates[2:]))


def test_the_schedule_of_one_step_and_of_no_warmup() -> None:
    assert learning_rate(0, 1, StageConfig(learning_rate=1.0, warmup_ratio=0.03)) == 1.0
    flat = StageConfig(learning_rate=1.0, warmup_ratio=0.0, min_learning_rate_ratio=1.0)
    assert [learning_rate(step, 3, flat) for step in range(3)] == [1.0, 1.0, 1.0]


def test_only_matrices_decay() -> None:
    model = tiny_model()
    groups = make_optimizer(model.parameters(), StageConfig(weight_decay=0.3)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert {p.ndim for p in groups[0]["params"]} == {2} and {p.ndim for p in groups[1]["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_pure_bfloat16_wants_stochastic_rounding() -> None:
    with pytest.raises(ConfigError, match="adamw8bit"):
        make_optimizer(tiny_model().to(torch.bfloat16).parameters(), StageConfig(optimizer="adamw"))


def test_8_bit_without_torchao_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sidrec\[train8bit\]'"):
        make_optimizer(tiny_model().parameters(), StageConfig(optimizer="adamw8bit"))


def test_an_unknown_device_is_named() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="'abacus'"):
        resolve_device("abacus")


def test_a_bfloat16_copy_computes_and_the_masters_stay_float32() -> None:
    model = tiny_model()
    data = conversations()
    batch = pack(data, torch.arange(10).numpy())
    computer = Computer(model, "bfloat16")
    assert computer.model is not model and computer.name == "bfloat16"
    assert {p.dtype for p in computer.model.parameters()} == {torch.bfloat16}
    assert computer.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert computer.model.lm_head.weight is computer.model.get_input_embeddings().weight
    loss, exact = AnswerLoss(computer.model), AnswerLoss(model)
    with loss.on():
        loss(batch).backward()
    computer.collect()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with exact.on():
        exact(batch).backward()
    for name, p in model.named_parameters():
        assert found[name].dtype == torch.float32
        assert float(torch.cosine_similarity(found[name].flatten(), p.grad.flatten(), dim=0)) > 0.99, name
    with torch.no_grad():
        model.lm_head.weight.add_(1.0)
    computer.refresh()
    assert torch.equal(computer.model.lm_head.weight.float(), model.lm_head.weight.to(torch.bfloat16).float())


def test_float32_computes_with_the_model_itself() -> None:
    model = tiny_model()
    assert Computer(model, "float32").model is model
    lower = tiny_model().to(torch.bfloat16)
    assert Computer(lower, "bfloat16").model is lower


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_micro_batches_weigh_every_answer_token_alike(compute: str) -> None:
    """One step of four micro-batches with unequal numbers of answers equals one step of a single big one."""
    data = conversations(20)
    data.mask[: data.offsets[6]] = True  # the first six conversations: answers everywhere
    stage = STAGE.model_copy(update={"clip": 1e9})
    results = []
    for tokens_per_batch in (512, 128):
        model = tiny_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        worker = Worker(Computer(model, compute), optimizer, list(model.parameters()), stage, "x", 0)
        steps = Steps(data, 512, tokens_per_batch, seed=0)
        batches = steps.batch(0)
        assert len(batches) == (1 if tokens_per_batch == 512 else 4)
        with worker.on():
            outcome = worker.step(0, batches, 1e-3)
        results.append((outcome, model))
    (one, first), (many, second) = results
    assert many.loss == pytest.approx(one.loss, rel=1e-5 if compute == "float32" else 2e-2)
    if compute == "float32":
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
@pytest.mark.filterwarnings("ignore")  # torch.compile's own
def test_stochastic_rounding_moves_bfloat16_weights_that_plain_rounding_would_not() -> None:
    model = torch.nn.Linear(256, 256, bias=False).to(torch.bfloat16)
    before = model.weight.detach().clone()
    optimizer = make_optimizer(model.parameters(), StageConfig(optimizer="adamw8bit", weight_decay=0.0, learning_rate=2e-5))
    for step in range(20):
        torch.manual_seed(step)
        model.weight.grad = torch.ones_like(model.weight)
        optimizer.step()
    moved = float((model.weight != before).float().mean())
    drift = float((model.weight.float() - before.float()).mean())
    assert moved > 0.3
    assert drift == pytest.approx(-20 * 2e-5, rel=0.2)
