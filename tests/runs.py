"""A run that can be asked, made by hand in a second: corpus, codes and a tiny model with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from sidrec import columns as c
from sidrec import storage
from sidrec.artifacts import STAGES, Ticket, verified_manifest, write_file, writing
from sidrec.config import RunConfig
from sidrec.pipeline import CONFIG_FILE, Run
from sidrec.quantize import Registry, text_fingerprints
from sidrec.schemas import HISTORY_SCHEMA
from sidrec.types import Corpus
from sidrec.vocabulary import REC, SidVocabulary
from tests.builders import make_corpus, make_tokenizer
from tests.recommend.helpers import catalogue, tiny_qwen3

SIZES = (4, 4, 4, 4)


def make_histories(n_users: int, n_items: int, seed: int = 0) -> pl.DataFrame:
    """``HISTORY_SCHEMA``: histories of 0 to 9 items; user 3 has none."""
    rng = np.random.default_rng(seed)
    items = [rng.integers(0, n_items, 0 if u == 3 else rng.integers(1, 10)).tolist() for u in range(n_users)]
    return pl.DataFrame(
        {
            c.USER_ID: [f"U{u:04}" for u in range(n_users)],
            c.ITEMS: items,
            c.TIMES: [list(range(len(row))) for row in items],
            c.TRAIN_END: [max(len(row) - 2, 0) for row in items],
            c.VALID_END: [max(len(row) - 1, 0) for row in items],
        },
        schema=HISTORY_SCHEMA,
    )


def make_run(path: Path, n_users: int = 50, n_items: int = 40, **recommend: object) -> Run:
    """``recommend``: values of that config table."""
    corpus = make_corpus(n_items)
    corpus = Corpus(corpus.items, make_histories(n_users, n_items), corpus.dropped)
    codes = catalogue(0, SIZES, n_items)
    tokenizer: Tokenizer = make_tokenizer(SIZES)
    vocabulary = SidVocabulary(SIZES, tokenizer.token_to_id(REC))
    table = {"k": 4, "beams": 6, "batch_size": 8, "users_per_part": 16, **recommend}
    run = Run(path, RunConfig.model_validate({"name": "by-hand", "recommend": table}))
    write_stage(run, "ingest", lambda folder: storage.save_corpus(folder, corpus))

    def save_codes(folder: Path) -> None:
        item_ids = corpus.items[c.ITEM_ID].to_list()
        storage.save_codes(folder, codes, item_ids)
        Registry.first(item_ids, codes, text_fingerprints(corpus.items), 0.5).save(folder / "registry.parquet")

    write_stage(run, "quantize", save_codes)

    def save_model(folder: Path) -> None:
        tiny_qwen3(vocabulary.last_id + 1).save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)

    write_stage(run, "train-full", save_model)
    write_file(path / CONFIG_FILE, run.config.model_dump_json().encode())
    return run


def write_stage(run: Run, command: str, make: object) -> None:
    run.path.mkdir(parents=True, exist_ok=True)
    made = [need for need in STAGES[command].needs if run.folder(need).is_dir()]
    inputs = {need: verified_manifest(run.path, need).content for need in made}
    with writing(run.path, Ticket(STAGES[command], 0, {}, inputs)) as folder:
        make(folder)  # type: ignore[operator]


def retire(run: Run, item_ids: list[str]) -> None:
    """In the codes themselves, as the first version of the catalogue has them."""
    path = run.folder("quantize") / "registry.parquet"
    Registry.load(path).retire(item_ids).save(path)
