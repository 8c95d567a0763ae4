"""Everybody's recommendations: the same bytes however the work is shared, stopped and taken up again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from sidrec import pipeline, storage
from sidrec.artifacts import MANIFEST, Manifest
from sidrec.ask.answer import Answerer
from sidrec.ask.options import Options
from sidrec.batch.scoring import CATALOGUE, Batch, Job, Scorer, score
from sidrec.batch.users import Users
from sidrec.cli.app import app
from sidrec.errors import ArtifactError, ConfigError, DataError, MissingExtraError
from tests.runs import make_run


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    run = make_run(tmp_path_factory.mktemp("runs") / "original")
    pipeline.recommend(run)
    return run


@pytest.fixture
def run(original: pipeline.Run, tmp_path: Path) -> pipeline.Run:
    """The same run before anybody was recommended anything."""
    shutil.copytree(original.path, tmp_path / "run", ignore=shutil.ignore_patterns("7-*"))
    return pipeline.Run(tmp_path / "run", original.config)


def hashes(run: pipeline.Run) -> dict[str, str]:
    manifest = Manifest.model_validate_json((run.folder("recommend") / MANIFEST).read_bytes())
    assert {path.name for path in run.folder("recommend").iterdir()} == {MANIFEST, *manifest.files}
    return {name: entry.sha256 for name, entry in manifest.files.items()}


def test_every_user_in_order_with_what_the_single_request_says(original: pipeline.Run) -> None:
    frame = storage.scan_recommendations(original.folder("recommend")).collect()
    assert dict(frame.schema) == storage.RECOMMENDATION_SCHEMA
    corpus = storage.load_corpus(original.folder("ingest"))
    users = corpus.histories["user_id"].to_list()
    assert frame["user"].to_list() == [user for user in users for _ in range(4)]
    assert frame["rank"].to_list() == [1, 2, 3, 4] * len(users)
    assert frame["item_id"].to_list() == corpus.items["item_id"].gather(frame["item_index"]).to_list()
    answerer = Answerer.open(original)
    for user, history in corpus.histories.select("user_id", "items").head(20).iter_rows():
        alone = answerer.rank_histories([history], 4)[0]
        together = frame.filter(pl.col("user") == user)
        assert together["item_index"].to_list() == alone.items.tolist()
        assert together["score"].to_list() == pytest.approx(alone.scores.tolist(), abs=1e-5)
    parts = json.loads((original.folder("recommend") / "parts.json").read_bytes())
    assert [part["users"] for part in parts.values()] == [16, 16, 16, 2]
    assert sum(part["new"] for part in parts.values()) == 1


def test_exclusion_and_k_reach_every_user(run: pipeline.Run) -> None:
    pipeline.recommend(run, Batch(k=6, options=Options(exclude_seen=True)))
    frame = storage.scan_recommendations(run.folder("recommend")).collect()
    corpus = storage.load_corpus(run.folder("ingest"))
    seen = dict(corpus.histories.select("user_id", "items").iter_rows())
    assert frame.height == 6 * len(seen)
    assert not any(item in seen[user] for user, item in frame.select("user", "item_index").iter_rows())


def test_two_workers_write_the_bytes_of_one(original: pipeline.Run, run: pipeline.Run) -> None:
    pipeline.recommend(run, Batch(workers=2))
    assert hashes(run) == hashes(original)


def test_work_that_stopped_goes_on_and_damage_is_made_again(
    original: pipeline.Run, run: pipeline.Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scored: list[int] = []
    plain = Scorer.__call__

    def failing(self: Scorer, shard: int) -> None:
        if shard == 3 and scored == [0, 1, 2]:
            raise RuntimeError("power cut")
        scored.append(shard)
        plain(self, shard)

    monkeypatch.setattr(Scorer, "__call__", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        pipeline.recommend(run)
    assert not run.folder("recommend").exists()
    partial = run.path / "7-recommendations.partial"
    (partial / "part-00001.parquet").write_bytes(b"?" * 100)  # damaged
    (partial / ".part-00002.json").unlink()  # killed between the part and its note
    pipeline.recommend(run)
    assert scored == [0, 1, 2, 1, 2, 3]
    assert hashes(run) == hashes(original)
    assert "part-00001.parquet is damaged" in capfd.readouterr().err

    pipeline.recommend(run)
    assert scored[6:] == []  # finished and unchanged
    (run.folder("recommend") / "part-00002.parquet").write_bytes(b"?")
    pipeline.recommend(run)
    assert scored[6:] == [2]
    assert hashes(run) == hashes(original)
    assert "part-00002.parquet is missing or damaged; it alone is made again" in capfd.readouterr().err.replace("\n", " ")

    pipeline.recommend(run, Batch(k=3))  # another request: nothing of the old one stays
    assert scored[7:] == [0, 1, 2, 3]
    assert storage.scan_recommendations(run.folder("recommend")).collect()["rank"].max() == 3


@pytest.mark.slow
def test_a_dead_worker_is_named_and_the_rest_is_kept(original: pipeline.Run, run: pipeline.Run) -> None:
    partial = run.path / "7-recommendations.partial"
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from sidrec import pipeline\n"
        "from sidrec.batch import scoring\n"
        "plain = scoring.Scorer.__call__\n"
        "def call(self, shard):\n"
        "    if shard == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    plain(self, shard)\n"
        "scoring.Scorer.__call__ = call\n"
        "from sidrec.errors import ArtifactError\n"
        "if __name__ == '__main__':\n"
        "    try: pipeline.recommend(pipeline.Run.open(Path(sys.argv[1])), scoring.Batch(workers=2))\n"
        "    except ArtifactError as error: print(error)\n"
    )
    script = run.path / "deadly.py"
    script.write_text(program)
    done = subprocess.run([sys.executable, script, run.path], capture_output=True, text=True, env=environment())
    assert "a worker process died (signal SIGKILL" in done.stdout and "finished parts are kept" in done.stdout, done.stderr
    assert (partial / "part-00000.parquet").exists() and not (partial / "part-00002.parquet").exists()
    pipeline.recommend(run, Batch(workers=2))
    assert hashes(run) == hashes(original)


def test_users_of_a_file(run: pipeline.Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    items = storage.load_item_ids(run.folder("quantize")).to_list()
    rows = [{"user": f"N{i}", "items": items[i : i + i % 5]} for i in range(35)]
    file = tmp_path / "users.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pipeline.recommend(run, Batch(users=file))
    frame = storage.scan_recommendations(run.folder("recommend")).collect()
    assert frame["user"].unique(maintain_order=True).to_list() == [row["user"] for row in rows]
    assert len(list(run.folder("recommend").glob("part-*"))) == 3
    single = Answerer.open(run)
    alone = single.rank_histories([[8, 9, 10]], 4)[0].items
    assert alone.tolist() == frame.filter(user="N8")["item_index"].to_list()
    before = hashes(run)

    rows[20]["items"] = ["nope", items[0], "never"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"users\.jsonl, line 21: no item 'nope' .*look like 'P000'.*--unknown-items drop"):
        pipeline.recommend(run, Batch(users=file))
    assert hashes(run) == before  # the finished result is untouched
    pipeline.recommend(run, Batch(users=file, options=Options(unknown_items="drop")))
    assert "left out, for the catalogue lacks them: 2 purchases of items" in " ".join(capfd.readouterr().err.split())
    frame = storage.scan_recommendations(run.folder("recommend")).collect()
    assert single.rank_histories([[0]], 4)[0].items.tolist() == frame.filter(user="N20")["item_index"].to_list()

    file.write_text("")
    with pytest.raises(DataError, match="is empty"):
        pipeline.recommend(run, Batch(users=file))
    (tmp_path / "none.csv").write_text("user,items\n")
    with pytest.raises(DataError, match=r"none\.csv holds no users"):
        pipeline.recommend(run, Batch(users=tmp_path / "none.csv"))


def test_no_users_and_no_workers(tmp_path: Path, run: pipeline.Run) -> None:
    with pytest.raises(ConfigError, match="--num-workers is at least 1, found 0"):
        pipeline.recommend(run, Batch(workers=0))
    nobody = make_run(tmp_path / "nobody", n_users=0)
    with pytest.raises(DataError, match="holds no users"):
        pipeline.recommend(nobody)


def test_a_model_of_other_codes_is_refused(run: pipeline.Run, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", n_items=41)
    shutil.rmtree(run.folder("quantize"))
    shutil.copytree(other.folder("quantize"), run.folder("quantize"))
    with pytest.raises(ArtifactError, match="trained with another codebook"):
        pipeline.recommend(run)


def test_the_command_line(run: pipeline.Run) -> None:
    cli = CliRunner()
    done = cli.invoke(app, ["recommend", "--run", str(run.path), "--users", "all", "-k", "2"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert "2 items for each of 50 users" in said and "600,000 users take" in said and "first for 1 without a purchase" in said
    shown = cli.invoke(app, ["look", str(run.folder("recommend"))])
    assert "part-*.parquet: 100 rows in 4 files" in shown.stdout, shown.stdout
    with pytest.raises(ConfigError, match=r"'somebody': neither 'all' nor a file"):
        cli.invoke(app, ["recommend", "--run", str(run.path), "--users", "somebody"], catch_exceptions=False)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.slow
def test_killed_at_any_time_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    """``kill -9`` of the parent while parts are written, again and again: its workers must not live on."""
    run = make_run(tmp_path / "run", n_users=3000, n_items=40, users_per_part=50)
    pipeline.recommend(run)
    expected = hashes(run)
    shutil.rmtree(run.folder("recommend"))
    command = [sys.executable, "-m", "sidrec", "recommend", "--run", str(run.path), "--users", "all", "--num-workers", "2"]
    partial = run.path / "7-recommendations.partial"
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(3):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment()) as process:
            wanted = kept + int(rng.integers(1, 6))
            while len(list(partial.glob(".part-*.json"))) < wanted and process.poll() is None:
                time.sleep(0.01)
            time.sleep(float(rng.random()) / 5)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert len(list(partial.glob(".part-*.json"))) >= wanted
        time.sleep(0.5)
        kept = len(list(partial.glob(".part-*.json")))
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert f"{kept} of 60 parts are there already" in done.stderr
    assert hashes(run) == expected


ray_warns = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # about its own settings


@ray_warns
@pytest.mark.slow
def test_ray_writes_the_same_bytes(original: pipeline.Run, run: pipeline.Run) -> None:
    pytest.importorskip("ray")
    pipeline.recommend(run, Batch(workers=2, engine="ray"))
    assert hashes(run) == hashes(original)


@ray_warns
@pytest.mark.slow
def test_what_fails_on_ray_is_said_as_it_is_here(run: pipeline.Run) -> None:
    pytest.importorskip("ray")
    users = Users.of_corpus(run.folder("ingest") / "histories.parquet", 16)
    folder = run.path / "broken"
    shutil.copytree(run.folder("quantize"), folder / CATALOGUE)
    (run.folder("train-full") / "model.safetensors").unlink()  # after the parent's own checks, before the actor's load
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        score(Job(run, run.config.recommend, users, folder), engine="ray")


def test_without_ray_it_says_how_to_get_it(run: pipeline.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sidrec\[ray\]'"):
        pipeline.recommend(run, Batch(engine="ray"))
