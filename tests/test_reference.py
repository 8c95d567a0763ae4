"""The reference recipe and the real Qwen3 tokenizer: shapes, ids, and a whole run on the full 151,936-row matrix."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from typer.testing import CliRunner

from sidrec import pipeline
from sidrec.ask.answer import Answerer
from sidrec.cli.app import app
from sidrec.configfile import load_config, parse_config
from sidrec.train import extend_vocabulary
from sidrec.vocabulary import SidVocabulary
from tests.test_flow import SMALL

RECIPE = Path(__file__).parents[1] / "examples" / "pet-supplies-1.7b.toml"

QWEN3_1_7B = {
    "vocab_size": 151_936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
}  # fmt: skip


def test_the_recipes_model_shape_and_new_rows(shared_data: Path) -> None:
    """Qwen3-1.7B on the meta device: 1.72 billion parameters, 1,027 tokens, 152,704 rows of 2,048."""
    config = load_config(RECIPE)
    tokenizer = AutoTokenizer.from_pretrained(shared_data / "qwen3-tokenizer")
    with torch.device("meta"):
        model = Qwen3ForCausalLM(Qwen3Config(**QWEN3_1_7B))
    assert sum(p.numel() for p in model.parameters()) == 1_720_574_976
    sizes = (*config.quantize.levels, config.quantize.tie_codes)
    vocabulary = extend_vocabulary(model, tokenizer, sizes, config.seed, "mean", [])
    assert (len(vocabulary.tokens), vocabulary.first_id, vocabulary.last_id) == (1027, 151_669, 152_695)
    assert vocabulary.token_id("<|A0|>") == tokenizer.convert_tokens_to_ids("<|A0|>") == 151_672
    assert model.config.vocab_size == 152_704
    assert model.get_input_embeddings().weight.shape == (152_704, 2048)
    assert sum(p.numel() for p in model.parameters()) == 1_720_574_976 + (152_704 - 151_936) * 2048


def test_the_recipe_holds_the_published_numbers() -> None:
    config = load_config(RECIPE)
    first, full = config.train.vocabulary, config.train.full
    assert (config.train.base_model, config.embed.encoder) == ("Qwen/Qwen3-1.7B", "Qwen/Qwen3-Embedding-0.6B")
    assert (first.steps, first.learning_rate, first.tokens_per_step) == (2000, 1e-3, 64 * 512)
    assert (full.epochs, full.learning_rate, full.min_learning_rate_ratio, full.warmup_ratio) == (3, 2e-5, 0.2, 0.03)
    assert (full.weight_decay, full.optimizer, full.tokens_per_step) == (0.01, "adamw8bit", 128 * 512)
    assert (config.quantize.levels, config.quantize.tie_codes) == ((256, 256, 256), 256)
    assert (config.ingest.max_items, config.ingest.user_core, config.ingest.max_history) == (63_319, 5, 100)
    assert (config.converse.test_per_task, config.evaluate.beams, config.converse.window) == (3000, 10, 4)


def test_doctor_takes_the_recipe_and_says_what_data_is_missing(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["doctor", "--config", str(RECIPE), "--set", f"ingest.amazon.folder={tmp_path}"])
    assert found.exit_code == 3
    assert "'pet-supplies-1.7b' is valid" in found.stdout
    assert "meta_Pet_Supplies.jsonl" in found.stdout


@pytest.mark.slow
def test_a_run_on_the_real_tokenizer_and_the_full_matrix(shared_data: Path, tmp_path: Path) -> None:
    base = tmp_path / "qwen3-tiny"
    shape = QWEN3_1_7B | {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 2048,
    }  # fmt: skip
    torch.manual_seed(0)
    Qwen3ForCausalLM(Qwen3Config(**shape)).save_pretrained(base)
    for file in (shared_data / "qwen3-tokenizer").iterdir():
        shutil.copy(file, base / file.name)
    sizes = ["quantize.levels=[32, 32, 32]", "quantize.tie_codes=256", f"train.base_model={base}"]
    config = parse_config({"name": "qwen3"}, [*SMALL, *sizes, "ingest.demo.products=300"])
    run = pipeline.Run(tmp_path / "run", config)
    pipeline.run_all(run)
    answerer = Answerer.open(run)
    vocabulary: SidVocabulary = answerer.renderer.vocabulary
    assert vocabulary.first_id == 151_669 and vocabulary.token_id("<|A0|>") == 151_672
    assert answerer.model.config.vocab_size >= 151_936  # never shrunk
    assert len(answerer.for_text("cat food", 10).rows) == 10
