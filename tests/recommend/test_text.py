"""Greedy decoding against transformers' own."""

from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from sidrec.errors import ConfigError, DataError
from sidrec.recommend import generate_text
from tests.recommend.helpers import prompts, tiny_qwen3

torch.set_num_threads(1)
STOP = 7
LENGTHS = (3, 60, 1, 17, 17, 30, 2, 45)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_qwen3(48, seed=5)


def by_transformers(model: PreTrainedModel, prompt: list[int], tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    config = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=STOP, pad_token_id=0)
    out = model.generate(ids, generation_config=config, attention_mask=torch.ones_like(ids))
    new: list[int] = out[0, len(prompt) :].tolist()
    return new[: new.index(STOP)] if STOP in new else new


def test_token_for_token_what_generate_writes(model: PreTrainedModel) -> None:
    asked = prompts(0, LENGTHS * 3)
    expected = [by_transformers(model, prompt, 24) for prompt in asked]
    lengths = {len(answer) for answer in expected}
    assert 24 in lengths
    assert len(lengths) > 3  # some stop early, at different steps: rows leave the batch one after another
    for batch_size in (1, 5, 64):
        assert generate_text(model, asked, 24, STOP, batch_size) == expected


def test_a_shipped_generation_config_does_not_interfere() -> None:
    model = tiny_qwen3(48, seed=5)
    asked = prompts(0, LENGTHS)
    before = generate_text(model, asked, 12, STOP)
    model.generation_config = GenerationConfig(do_sample=True, top_k=20, repetition_penalty=5.0, eos_token_id=before[1][0])
    assert generate_text(model, asked, 12, STOP) == before


def test_the_stop_id_ends_an_answer_and_is_not_returned(model: PreTrainedModel) -> None:
    prompt = prompts(0, (9,))[0]
    free = generate_text(model, [prompt], 6, stop_id=-1)[0]
    assert len(free) == 6
    stop = free[3]
    assert generate_text(model, [prompt], 6, stop)[0] == free[: free.index(stop)]
    assert generate_text(model, [prompt], 6, free[0]) == [[]]
    assert generate_text(model, [prompt], 1, -1) == [free[:1]]


def test_nothing_asked_nothing_answered(model: PreTrainedModel) -> None:
    assert generate_text(model, [], 6, STOP) == []


def test_prompts_that_cannot_be_continued_are_named(model: PreTrainedModel) -> None:
    with pytest.raises(DataError, match="prompt 1 is empty"):
        generate_text(model, [[1], []], 6, STOP)
    with pytest.raises(DataError, match=r"prompt 0 has 251 tokens; the model reads 250 and the 6 of the answer"):
        generate_text(model, [[1] * 251], 6, STOP)
    with pytest.raises(ConfigError, match="at least 1"):
        generate_text(model, [[1]], 0, STOP)
