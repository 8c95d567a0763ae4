"""Stage 1: only the new rows learn, everything else stays as it is, bit by bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from sidrec.config import TrainConfig
from sidrec.errors import ConfigError
from sidrec.train import train_vocabulary
from sidrec.train.rows import only_new_rows
from sidrec.vocabulary import SidVocabulary
from tests.train.small import STAGE, TINY, conversations, tiny_model

torch.set_num_threads(1)
VOCABULARY = SidVocabulary((4, 4, 2, 2), first_id=45)  # 15 new tokens, ids 45..59, of 64 rows


def weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("dtype", "compute"), [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32")])
def test_only_the_new_rows_move(tmp_path: Path, tied: bool, dtype: str, compute: str) -> None:
    model = tiny_model(tied=tied).to(getattr(torch, dtype))
    before = weights(model)
    stage = STAGE.model_copy(update={"weight_decay": 0.1})
    config = TINY.model_copy(update={"vocabulary": stage, "compute": compute})
    result = train_vocabulary(model, VOCABULARY, conversations(), None, config, workspace=tmp_path, seed=0)
    after = weights(model)
    assert result.steps == 6 and before.keys() == after.keys()
    matrices = {"model.embed_tokens.weight", "lm_head.weight"}
    for name, old in before.items():
        if name not in matrices:
            assert torch.equal(after[name], old), name
            continue
        assert torch.equal(after[name][:45], old[:45]) and torch.equal(after[name][60:], old[60:])
        moved = (after[name][45:60] != old[45:60]).any(dim=1)
        assert moved.all(), f"{name}: rows {(~moved).nonzero().flatten().tolist()} did not learn"
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_the_split_modules_equal_the_whole_matrices(tied: bool) -> None:
    model = tiny_model(tied=tied)
    ids = torch.arange(64)[None]
    expected = model(input_ids=ids).logits
    with only_new_rows(model, 45, 15):
        found = model(input_ids=ids).logits
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 15 * 32 * (1 if tied else 2)
        functional.cross_entropy(found[0], ids[0]).backward()
        split = model.get_input_embeddings().rows.grad
    assert torch.allclose(found, expected, atol=1e-6)
    model.zero_grad()
    functional.cross_entropy(model(input_ids=ids).logits[0], ids[0]).backward()
    assert torch.allclose(split, model.get_input_embeddings().weight.grad[45:60], atol=1e-6)


def test_an_error_inside_leaves_the_model_as_it_was() -> None:
    model = tiny_model()
    before = weights(model)
    with pytest.raises(RuntimeError, match="stop"), only_new_rows(model, 45, 15):
        with torch.no_grad():
            model.get_input_embeddings().rows.add_(1.0)
        raise RuntimeError("stop")
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(model).items())


def test_a_head_that_is_no_plain_matrix_is_refused() -> None:
    model = tiny_model(tied=False)
    model.set_output_embeddings(torch.nn.Linear(32, 64, bias=True))
    with pytest.raises(ConfigError, match="not a plain matrix"), only_new_rows(model, 45, 15):
        pass


def test_the_loss_falls(tmp_path: Path) -> None:
    stage = STAGE.model_copy(update={"steps": 30, "learning_rate": 0.05})
    config: TrainConfig = TINY.model_copy(update={"vocabulary": stage})
    data = conversations(8)
    ends = data.offsets[1:]
    for back in (3, 2, 1):
        data.tokens[ends - back] = 50 + back  # one answer for all
    start = train_vocabulary(
        tiny_model(), VOCABULARY, data, data, config.model_copy(update={"vocabulary": stage.model_copy(update={"steps": 1})}),
        workspace=tmp_path / "one", seed=0,
    )  # fmt: skip
    end = train_vocabulary(tiny_model(), VOCABULARY, data, data, config, workspace=tmp_path / "many", seed=0)
    assert start.valid_loss is not None and end.valid_loss is not None
    assert end.valid_loss < 0.5 * start.valid_loss
