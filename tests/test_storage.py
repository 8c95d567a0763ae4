"""What is saved is what is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sidrec import storage
from sidrec.errors import ArtifactError
from sidrec.types import Conversation, Corpus, ItemCodes, ItemVectors, Message, SidText, TaskSample


def test_round_trips(tmp_path: Path, corpus: Corpus, codes: ItemCodes, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.save_corpus(tmp_path, corpus)
    loaded = storage.load_corpus(tmp_path)
    assert loaded.items.equals(corpus.items) and loaded.histories.equals(corpus.histories)

    storage.save_codes(tmp_path, codes, corpus.items["item_id"].to_list())
    again = storage.load_codes(tmp_path)
    assert again.sizes == codes.sizes and np.array_equal(again.codes, codes.codes)

    vectors = ItemVectors(np.eye(3, dtype=np.float32))
    storage.save_vectors(tmp_path, vectors)
    assert np.array_equal(storage.load_vectors(tmp_path).vectors, vectors.vectors)

    monkeypatch.setattr(storage, "ROWS_PER_SHARD", 2)
    turns = (Message.of("user", "Like ", SidText("<|A1|>"), "? "), Message.of("assistant", SidText("<|A2|>"), "x"))
    conversations = [Conversation("t", turns, i) for i in range(5)]
    assert storage.save_conversations(tmp_path, "train", iter(conversations)) == {"t": 5}
    assert len(list(tmp_path.glob("train-*.parquet"))) == 3
    assert list(storage.iter_conversations(tmp_path, "train")) == conversations

    samples = [TaskSample("s", turns[:1], 3, "ref", (1, 2), True), TaskSample("s", turns[:1], 4)]
    storage.save_samples(tmp_path, samples)
    assert storage.load_samples(tmp_path) == samples


def test_vectors_are_mapped_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    vectors = ItemVectors(np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32))
    storage.save_vectors(tmp_path, vectors)
    found = storage.load_vectors(tmp_path).vectors
    assert np.array_equal(found, vectors.vectors) and type(found) is np.ndarray
    assert isinstance(found.base, np.memmap) and not found.flags.writeable
    storage.save_vectors(tmp_path, ItemVectors(np.empty((0, 7), np.float32)))
    assert storage.load_vectors(tmp_path).vectors.shape == (0, 7)
    storage.save_vectors(tmp_path, vectors)
    path = tmp_path / "vectors.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match=r"vectors\.safetensors is missing or damaged"):
        storage.load_vectors(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match="run `sidrec embed` again"):
        storage.load_vectors(tmp_path)
