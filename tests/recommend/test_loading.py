"""Folders that load, and folders that must be refused with one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from sidrec.errors import ArtifactError, ConfigError
from sidrec.recommend import generate_text, load_model, resolve_device
from tests.builders import make_tokenizer
from tests.recommend.helpers import tiny_qwen3

WEIGHTS, CONFIG = "model.safetensors", "config.json"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_qwen3(400).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=make_tokenizer()).save_pretrained(folder)
    return folder


def test_a_saved_model_comes_back_ready_to_decode(saved: Path) -> None:
    model, tokenizer = load_model(saved, resolve_device("auto"))
    assert not model.training
    assert model.dtype == torch.float32
    assert generate_text(model, [[1, 2, 3]], 5, -1) == generate_text(tiny_qwen3(400), [[1, 2, 3]], 5, -1)
    assert tokenizer.backend_tokenizer.token_to_id("<|rec|>") == make_tokenizer().token_to_id("<|rec|>")
    assert load_model(saved, "cpu", "bfloat16")[0].dtype == torch.bfloat16
    assert load_model(saved, "cpu", "auto")[0].dtype == torch.float32  # on a GPU: bfloat16


def edit_config(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / CONFIG
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return edit


def lose_a_weight(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (shutil.rmtree, "holds no model"),
        (lambda folder: (folder / CONFIG).unlink(), "no config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda folder: (folder / WEIGHTS).unlink(), "no file named model.safetensors"),
        (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:5000]), "cannot be loaded"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), "cannot be loaded"),
        (lambda folder: (folder / CONFIG).write_text('{"model_type'), "not a valid JSON"),
        (lambda folder: (folder / CONFIG).write_text('{"model_type": "unheard-of"}'), "unheard-of"),
        (lambda folder: (folder / "tokenizer.json").write_text('{"version": '), "cannot be loaded"),
        (lose_a_weight, "1 missing keys, e.g. model.layers.1.mlp.up_proj"),
        (edit_config(intermediate_size=64), "mismatched keys"),
        (edit_config(num_hidden_layers=1, layer_types=["full_attention"]), "11 unexpected keys"),
    ],
)
def test_a_damaged_folder_is_named(saved: Path, tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    folder = tmp_path / "6-model"
    shutil.copytree(saved, folder)
    damage(folder)
    with pytest.raises(ArtifactError, match=says) as refusal:
        load_model(folder, "cpu")
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_devices_and_dtypes_that_do_not_exist_are_named(saved: Path) -> None:
    with pytest.raises(ConfigError, match="device 'warp'"):
        resolve_device("warp")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="device 'cuda' cannot be used here"):
            resolve_device("cuda")
    with pytest.raises(ConfigError, match="unknown dtype 'float23'"):
        load_model(saved, "cpu", "float23")
