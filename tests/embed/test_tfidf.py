from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.config import EmbedConfig
from sidrec.embed import TfidfEncoder, embed, load_encoder
from sidrec.errors import ArtifactError, DataError
from tests.embed.test_texts import item, table

ANIMALS = ["cat", "dog", "fish", "bird", "hamster"]
GOODS = ["food", "toy", "bed", "brush"]
TEXTS = [f"{animal} {good}" for animal in ANIMALS for good in GOODS]


@pytest.fixture(scope="module")
def encoder() -> TfidfEncoder:
    return TfidfEncoder.fit(TEXTS, 16, seed=0)


def test_unit_rows_and_likeness_as_a_person_sees_it(encoder: TfidfEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    cat_food, dog_food, fish_bed = encoder.encode(["food for a cat", "dog food", "bed, fish!"])
    nearest = [TEXTS[int((vectors @ query).argmax())] for query in (cat_food, dog_food, fish_bed)]
    assert nearest == ["cat food", "dog food", "fish bed"]


def test_a_word_never_spelled_so_is_read_by_its_characters(encoder: TfidfEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert TEXTS[int((vectors @ encoder.encode(["HAMSTERS!"])[0]).argmax())].startswith("hamster")


@pytest.mark.parametrize("text", ["", "  ", "12345", "魚", "\x00", "<|im_end|>"])
def test_a_text_of_which_nothing_is_known_lies_in_the_middle(encoder: TfidfEncoder, text: str) -> None:
    (vector,) = encoder.encode([text])
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    if text != "<|im_end|>":  # that one has letters in common with the catalogue's words, perhaps
        mean = encoder.encode(TEXTS).mean(axis=0)
        assert vector @ (mean / np.linalg.norm(mean)) == pytest.approx(1, abs=1e-5)


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_text_gives_finite_unit_rows(texts: list[str]) -> None:
    vectors = TfidfEncoder.fit(["a b", "b c", "c d e"], 4, seed=0).encode(texts)
    assert vectors.shape[0] == len(texts)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_save_and_load_give_the_same_bytes_without_pickle(encoder: TfidfEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder.json", "encoder.safetensors"]
    probe = [*TEXTS, "unknown words", "", "cat cat cat bed"]
    loaded = load_encoder(tmp_path, EmbedConfig())
    assert isinstance(loaded, TfidfEncoder)
    assert loaded.encode(probe).tobytes() == encoder.encode(probe).tobytes()


def test_a_damaged_or_missing_encoder_is_named(encoder: TfidfEncoder, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"encoder\.json is missing or damaged"):
        load_encoder(tmp_path, EmbedConfig())
    encoder.save(tmp_path)
    weights = tmp_path / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="missing or damaged"):
        load_encoder(tmp_path, EmbedConfig())
    (tmp_path / "encoder.json").write_text('{"kind": "glove"}')
    with pytest.raises(ArtifactError, match="unknown kind of encoder, 'glove'"):
        load_encoder(tmp_path, EmbedConfig())


def test_same_seed_same_bytes() -> None:
    first, second = (TfidfEncoder.fit(TEXTS, 8, seed=3).encode(TEXTS) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_small_corpus_has_fewer_dimensions_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("sidrec.embed.tfidf.say", said.append)
    items = table(item(title="red cat"), item(title="blue dog"), item(title="green fish"))
    vectors, _ = embed(items, EmbedConfig(), 0, tmp_path)
    assert vectors.vectors.shape == (3, 3)
    assert len(said) == 1 and "span 3 dimensions" in said[0] and "128" in said[0]


def test_cold_items_teach_the_encoder_nothing(tmp_path: Path) -> None:
    warm = [item(item_id=str(i), title=text) for i, text in enumerate(TEXTS)]
    one, other = (
        embed(table(*warm, item(item_id="new", title=title, cold=True)), EmbedConfig(dimension=8), 0, tmp_path)[0].vectors
        for title in ("cat zeppelin", "submarine submarine dog")
    )
    assert one[:-1].tobytes() == other[:-1].tobytes()
    assert not np.array_equal(one[-1], other[-1])


def test_no_word_at_all_and_no_warm_item_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all items are cold"):
        embed(table(item(title="x", cold=True)), EmbedConfig(), 0, tmp_path)
    with pytest.raises(DataError, match="no items to embed"):
        embed(table(), EmbedConfig(), 0, tmp_path)
    with pytest.raises(DataError, match="has a word to learn from"):
        TfidfEncoder.fit(["", " "], 4, seed=0)
