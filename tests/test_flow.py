"""Every stage on CPU with no network: the golden run, run again, killed, damaged, and asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from sidrec import pipeline, storage
from sidrec.artifacts import MANIFEST, STAGES, Manifest, verified_manifest
from sidrec.cli.app import app
from sidrec.configfile import parse_config
from sidrec.errors import ArtifactError, DataError

SMALL = [
    "ingest.demo.products=80",
    "ingest.demo.customers=120",
    "embed.dimension=16",
    "quantize.levels=[8, 8, 8]",
    "quantize.tie_codes=8",
    "quantize.gate.action=warn",  # 16 dimensions tell few of the variants apart
    "converse.default_weight=0.3",
    "converse.test_per_task=10",
    "converse.valid_per_task=5",
    "train.tiny.hidden=32",
    "train.tiny.layers=2",
    "train.tiny.heads=2",
    "train.tiny.kv_heads=1",
    "train.tiny.head_dim=16",
    "train.tiny.intermediate=64",
    "train.tiny.vocabulary=400",
    "train.vocabulary.steps=3",
    "train.vocabulary.tokens_per_step=2048",
    "train.vocabulary.tokens_per_batch=2048",
    "train.full.steps=12",
    "train.full.tokens_per_step=2048",
    "train.full.tokens_per_batch=2048",
    "evaluate.max_users=30",
]


def small_run(path: Path, *overrides: str) -> pipeline.Run:
    return pipeline.Run(path, parse_config({"name": "small"}, [*SMALL, *overrides]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    made = small_run(tmp_path_factory.mktemp("runs") / "small")
    pipeline.run_all(made)
    return made


def contents(run: pipeline.Run) -> dict[str, str]:
    """Every file of every artefact with its hash, but for the timings."""
    found: dict[str, str] = {}
    for stage in STAGES.values():
        path = run.path / stage.folder / MANIFEST
        if path.exists():
            for name, entry in Manifest.model_validate_json(path.read_bytes()).files.items():
                found[f"{stage.folder}/{name}"] = entry.sha256
    return {name: value for name, value in found.items() if not name.endswith(("metrics.jsonl", "report.html"))}


def test_the_same_seed_gives_the_same_bytes(run: pipeline.Run, tmp_path: Path) -> None:
    again = small_run(tmp_path / "small")
    pipeline.run_all(again)
    assert contents(again) == contents(run)


def test_a_second_run_keeps_everything(run: pipeline.Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("manifest.json")}
    pipeline.run_all(run)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("manifest.json")} == before


def test_a_changed_config_remakes_only_what_depends_on_it(run: pipeline.Run, tmp_path: Path) -> None:
    other = pipeline.Run(
        run.path, run.config.model_copy(update={"evaluate": run.config.evaluate.model_copy(update={"beams": 12})})
    )
    before = {command: verified_manifest(run.path, command).fingerprint for command in pipeline.STAGE_FUNCTIONS}
    pipeline.run_all(other)
    after = {command: verified_manifest(run.path, command).fingerprint for command in pipeline.STAGE_FUNCTIONS}
    assert [command for command in before if before[command] != after[command]] == ["evaluate"]
    pipeline.run_all(run)


def test_the_model_is_a_plain_hugging_face_folder(run: pipeline.Run) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run.folder("train-full"))
    model = AutoModelForCausalLM.from_pretrained(run.folder("train-full"))
    assert model.config.vocab_size == model.get_input_embeddings().weight.shape[0] >= len(tokenizer)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt"
    )
    ids = prompt if isinstance(prompt, torch.Tensor) else prompt["input_ids"]
    assert model.generate(ids, max_new_tokens=3).shape[1] > ids.shape[1]


def test_recommendations_are_real_distinct_items(run: pipeline.Run) -> None:
    from sidrec.ask.answer import Answerer
    from sidrec.ask.options import Options

    answerer = Answerer.open(run)
    ids = answerer.corpus.items["item_id"].to_list()
    user = answerer.corpus.histories["user_id"][0]
    answers = [
        answerer.for_user(user, 10),
        answerer.for_history(ids[:3], 10, Options(exclude_seen=True)),
        answerer.for_text("grain-free food for a senior cat", 10),
        answerer.for_item(ids[0], 10),
    ]
    for answer in answers:
        shown = [row["item_id"] for row in answer.rows]
        assert len(shown) == len(set(shown)) == 10 and set(shown) <= set(ids)
    assert not set(ids[:3]) & {row["item_id"] for row in answers[1].rows}
    assert ids[0] not in {row["item_id"] for row in answers[3].rows}
    everything = answerer.for_text("toy", 10_000)
    assert len(everything.rows) == everything.eligible == len(ids)
    with pytest.raises(DataError, match=r"no item 'nope'.*look like"):
        answerer.for_history(["nope"], 5)
    with pytest.raises(DataError, match="no customer 'nope'"):
        answerer.for_user("nope", 5)
    with pytest.raises(DataError, match="text to search for is empty"):
        answerer.for_text("  ", 5)


def test_recommendations_for_all_users(run: pipeline.Run) -> None:
    from sidrec.ask.options import Options
    from sidrec.batch.scoring import Batch

    pipeline.recommend(run, Batch(k=4, options=Options(exclude_seen=True)))
    frame = storage.scan_recommendations(run.folder("recommend")).collect()
    corpus = storage.load_corpus(run.folder("ingest"))
    assert frame.height == 4 * corpus.histories.height
    assert frame.group_by("user").agg(pl.col("item_index").n_unique())["item_index"].to_list() == [4] * corpus.histories.height
    seen = dict(corpus.histories.select("user_id", "items").iter_rows())
    assert not any(item in seen[user] for user, item in frame.select("user", "item_index").iter_rows())


def test_the_command_line(run: pipeline.Run) -> None:
    cli = CliRunner()
    found = cli.invoke(app, ["recommend", "--run", str(run.path), "--text", "cat food", "-k", "3", "--json"])
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["items"]) == 3
    for command in pipeline.STAGE_FUNCTIONS:
        shown = cli.invoke(app, ["look", str(run.folder(command))])
        assert shown.exit_code == 0 and command in shown.stdout, shown.output
    shown = cli.invoke(app, ["look", str(run.folder("converse")), "--task", "title_to_sid"])
    assert "[title_to_sid]" in shown.stdout and "(trained)" in shown.stdout
    for name in ["health.json"]:
        assert cli.invoke(app, ["look", str(run.folder("quantize") / name)]).exit_code == 0


def test_a_damaged_artefact_is_refused_by_readers_and_made_again_by_run(tmp_path: Path, run: pipeline.Run) -> None:
    import shutil

    copy = pipeline.Run(tmp_path / "copy", run.config)
    shutil.copytree(run.path, copy.path)
    expected = contents(run)
    with (copy.folder("quantize") / "codes.parquet").open("r+b") as file:
        file.seek(100)
        file.write(b"????")
    from sidrec.ask.answer import Answerer

    with pytest.raises(ArtifactError, match=r"codes\.parquet is damaged.*sidrec quantize"):
        Answerer.open(copy)
    pipeline.run_all(copy)
    assert contents(copy) == expected


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_continues_and_ends_in_the_same_place(run: pipeline.Run, tmp_path: Path, stop: signal.Signals) -> None:
    """Kill after 2, 4, 6 ... seconds until one run gets through: every stage is hit on the way."""
    config = tmp_path / "small.toml"
    config.write_text('name = "small"\n')
    folder = tmp_path / "killed"
    sets = [part for override in [*SMALL, "train.full.checkpoint_minutes=0.01"] for part in ("--set", override)]
    command = [sys.executable, "-m", "sidrec", "run", "--config", str(config), "--run", str(folder), *sets]
    kills = 0
    for attempt in range(1, 60):
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}
        )
        try:
            _, errors = process.communicate(timeout=3.0 + 0.7 * attempt)
        except subprocess.TimeoutExpired:
            process.send_signal(stop)
            _, errors = process.communicate(timeout=60)
            kills += 1
            assert "Traceback" not in errors, errors
            time.sleep(0.05)
            continue
        assert process.returncode == 0, errors
        break
    assert kills >= 3
    assert contents(pipeline.Run(folder, run.config)) == contents(run)
