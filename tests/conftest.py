"""Tiny real stand-ins: a hand-made corpus, its codes, and a byte-level tokenizer."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from sidrec.render import Renderer
from sidrec.types import Corpus, ItemCodes
from sidrec.vocabulary import SidVocabulary
from tests.builders import make_corpus, make_tokenizer

# Hypothesis' 200 ms an example are wall time: beside other work they fail tests at random.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data and the Qwen3 tokenizer, which the project may not carry."""
    folder = os.environ.get("SIDREC_SHARED", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SIDREC_SHARED names no folder with the real data")
    return Path(folder)


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture
def codes() -> ItemCodes:
    rows = np.asarray([[i // 4, i % 4, 0, 0] for i in range(12)], dtype=np.int32)
    return ItemCodes(rows, (4, 4, 2, 2))


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    tokenizer = make_tokenizer()
    return Renderer(tokenizer, SidVocabulary((4, 4, 2, 2), tokenizer.token_to_id("<|rec|>")))
