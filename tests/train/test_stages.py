"""From texts to a saved model: the whole room in one go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sidrec.config import StageConfig
from sidrec.render import Renderer
from sidrec.train import build_base, extend_vocabulary, tokenize, train_full, train_vocabulary
from sidrec.train.stages import fingerprint_of
from sidrec.types import Conversation, Message
from sidrec.vocabulary import REC
from tests.train.small import SIZES, STAGE, TINY, conversations, tiny_model

torch.set_num_threads(1)
STAGES = TINY.model_copy(
    update={
        "vocabulary": StageConfig(steps=5, tokens_per_step=256, tokens_per_batch=256, learning_rate=1e-2),
        "full": StageConfig(steps=150, tokens_per_step=256, tokens_per_batch=256, learning_rate=1e-2),
    }
)
TITLES = ["red cat toy", "blue dog bed", "green fish tank", "grey bird cage"]
CODES = [(0, 1, 0, 0), (1, 2, 1, 0), (2, 3, 0, 1), (3, 0, 1, 1)]


def test_texts_to_a_model_that_loads_plainly_and_generates(tmp_path: Path) -> None:
    model, tokenizer = build_base(STAGES, TITLES * 5, seed=0)
    vocabulary = extend_vocabulary(model, tokenizer, SIZES, 0, "title-mean", list(zip(CODES, TITLES, strict=True)))
    renderer = Renderer(tokenizer.backend_tokenizer, vocabulary)
    rows = [
        Conversation("t", (Message.of("user", title, REC), Message.of("assistant", vocabulary.spell(codes))), i)
        for i, (codes, title) in enumerate(zip(CODES, TITLES, strict=True))
    ]
    data = tokenize(rows, renderer, max_tokens=64)
    first = train_vocabulary(model, vocabulary, data, data, STAGES, workspace=tmp_path / "5", seed=0)
    second = train_full(model, data, data, STAGES, workspace=tmp_path / "6", seed=0)
    assert first.valid_loss is not None and second.valid_loss is not None
    assert second.valid_loss < 0.1 < first.valid_loss
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    plain = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert loaded.config.vocab_size == len(loaded.get_input_embeddings().weight) == len(model.get_input_embeddings().weight)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    for title, codes in zip(TITLES, CODES, strict=True):
        messages = [{"role": "user", "content": title + REC}]
        prompt = plain.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        for beams in (1, 3):
            out = loaded.generate(**prompt, max_new_tokens=10, num_beams=beams)
            answer = plain.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
            assert answer == vocabulary.spell(np.asarray(codes, dtype=np.int32))


def test_the_fingerprint_knows_all_that_decides_and_no_cadence() -> None:
    base = (tiny_model(), conversations(), STAGE, "float32", "train-full", 0)
    same = fingerprint_of(*base)
    assert same == fingerprint_of(tiny_model(), conversations(), *base[2:])
    cadence = STAGE.model_copy(update={"checkpoint_minutes": 1.0, "keep_checkpoints": 9})
    assert same == fingerprint_of(*base[:2], cadence, *base[3:])
    others = [
        (tiny_model(seed=1), *base[1:]), (base[0], conversations(41), *base[2:]), (*base[:5], 1),
        (*base[:2], STAGE.model_copy(update={"learning_rate": 0.5}), *base[3:]),
        (*base[:3], "bfloat16", *base[4:]), (*base[:4], "train-vocabulary", 0),
    ]  # fmt: skip
    assert len({same, *(fingerprint_of(*other) for other in others)}) == 7


@pytest.mark.parametrize("stage", ["vocabulary", "full"])
def test_a_stage_goes_on_by_itself(tmp_path: Path, stage: str) -> None:
    """The stages find their own checkpoint; here that of a finished training, as after a kill while saving."""
    from sidrec.vocabulary import SidVocabulary

    config = TINY.model_copy(update={stage: STAGE})

    def once() -> tuple[torch.Tensor, int]:
        model = tiny_model()
        if stage == "full":
            result = train_full(model, conversations(), None, config, workspace=tmp_path, seed=0)
        else:
            vocabulary = SidVocabulary((4, 4, 2, 2), 45)
            result = train_vocabulary(model, vocabulary, conversations(), None, config, workspace=tmp_path, seed=0)
        return model.get_input_embeddings().weight.detach().clone(), result.resumed_from

    (first, began), (second, resumed) = once(), once()
    assert (began, resumed) == (0, 6)
    assert torch.equal(first, second)
