"""The tiny base model and tokenizer, and base models from disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.train import build_base, load_trained
from sidrec.train.base import train_tokenizer
from tests.train.small import TEXTS, TINY, tiny_base, tiny_model

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def test_the_tiny_model_has_the_shape_of_the_config() -> None:
    model, tokenizer = tiny_base()
    assert model.config.model_type == "qwen3" and model.config.tie_word_embeddings
    assert model.config.vocab_size == len(tokenizer) <= TINY.tiny.vocabulary
    assert tokenizer.convert_tokens_to_ids(CONTROL) == [len(tokenizer) - 3, len(tokenizer) - 2, len(tokenizer) - 1]
    weights = model.get_input_embeddings().weight
    assert weights.std().item() == pytest.approx(0.554 / 32**0.5, rel=0.05)
    assert model.lm_head.weight is weights
    assert model.model.layers[0].mlp.down_proj.weight.std().item() == pytest.approx(0.554 / 32**0.5 / 2, rel=0.1)


def test_the_same_seed_gives_the_same_model_and_tokens() -> None:
    (one, first), (two, second) = tiny_base(), tiny_base()
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    other, _ = build_base(TINY, TEXTS, seed=1)
    assert not torch.equal(one.get_input_embeddings().weight, other.get_input_embeddings().weight)


def test_the_tokenizer_cuts_as_qwen3_does_and_reads_any_bytes() -> None:
    tokenizer = train_tokenizer(["grain-free food 2025"] * 20, 400)
    backend = tokenizer.backend_tokenizer
    pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str("It's 42 cats!\nNo")]
    assert pieces == ["It", "'s", "Ġ", "4", "2", "Ġcats", "!Ċ", "No"]
    text = "Käse 猫 🐈 <b>&amp;</b>\n"
    assert tokenizer.decode(backend.encode(text).ids) == text


def test_control_tokens_in_the_texts_are_ordinary_text_to_the_trainer() -> None:
    tokenizer = train_tokenizer(["<|im_end|> <|im_start|>"] * 50, 400)
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") == len(tokenizer) - 1


def test_the_vocabulary_matches_qwen3_where_its_tokenizer_is_at_hand(shared_data: Path) -> None:
    from tokenizers import Tokenizer

    real = Tokenizer.from_file(str(shared_data / "qwen3-tokenizer" / "tokenizer.json"))
    ours = train_tokenizer(TEXTS, 320).backend_tokenizer
    for text in ("Don't  feed 12 cats.\r\n\n Now!", "a  b\t c", "ÄÖ ﬁ 猫猫"):
        cut = [tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text)) for tokenizer in (real, ours)]
        assert cut[0] == cut[1]


def test_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="no text"):
        build_base(TINY, [], seed=0)


def test_a_base_model_from_disk(tmp_path: Path) -> None:
    model, tokenizer = tiny_base()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = TINY.model_copy(update={"base_model": str(tmp_path), "dtype": "bfloat16"})
    loaded, again = build_base(config, [], seed=0)
    assert loaded.dtype == torch.bfloat16 and len(again) == len(tokenizer)
    assert load_trained(tmp_path, TINY)[0].dtype == torch.float32


def test_a_damaged_model_file_is_named(tmp_path: Path) -> None:
    model, tokenizer = tiny_base()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ConfigError, match=r"can be loaded from train\.base_model"):
        build_base(TINY.model_copy(update={"base_model": str(tmp_path)}), [], seed=0)
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ConfigError, match="no causal language model can be loaded"):
        build_base(TINY.model_copy(update={"base_model": str(tmp_path)}), [], seed=0)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no causal language model can be loaded"):
        build_base(TINY.model_copy(update={"base_model": str(tmp_path)}), [], seed=0)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "a/b/c"])
def test_a_missing_base_model_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        build_base(TINY.model_copy(update={"base_model": name}), [], seed=0)


def test_an_empty_folder_and_a_model_without_a_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"without config\.json"):
        build_base(TINY.model_copy(update={"base_model": str(tmp_path)}), [], seed=0)
    with pytest.raises(ArtifactError, match="train-vocabulary"):
        load_trained(tmp_path, TINY)
    tiny_base()[1].save_pretrained(tmp_path)
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)).save_pretrained(
        tmp_path
    )
    with pytest.raises(ConfigError, match="no decoder of Qwen3's kind but a bert model"):
        build_base(TINY.model_copy(update={"base_model": str(tmp_path)}), [], seed=0)


def test_a_tokenizer_without_turns_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tiny_model().save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, []))).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"no token <\|im_start\|>"):
        build_base(TINY.model_copy(update={"base_model": str(tmp_path)}), [], seed=0)
