"""A year in a shop's life, as its people type it: the golden run of `sidrec codes` and what `sidrec recommend` makes of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from sidrec import pipeline
from sidrec.batch.scoring import Batch
from sidrec.catalogue.live import open_catalogue
from sidrec.cli.app import app, main
from sidrec.config import DemoSource
from sidrec.ingest.demo import simulate_shop
from tests.catalogue.shop import hashes
from tests.test_flow import SMALL, small_run
from tests.test_packaging import ROOT, shell_commands


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    """A demo run of 300 products whose model has hardly learned: what may come out is tested here, not how good it is."""
    made = small_run(
        tmp_path_factory.mktemp("life") / "run", "ingest.demo.products=300", "converse.default_weight=0.05",
        "train.full.steps=4", "train.tiny.layers=1",
    )  # fmt: skip
    for name, stage in pipeline.STAGE_FUNCTIONS.items():
        if name != "evaluate":
            stage(made)
    return made


@pytest.fixture(scope="module")
def arrivals() -> pl.DataFrame:
    """Twenty products of another shop of the same trade."""
    items = simulate_shop(DemoSource(products=60, customers=50), seed=77)[0]
    return items.filter(pl.col("title").str.strip_chars() != "").unique("item_id", keep="first", maintain_order=True).head(20)


def sidrec(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(part) for part in arguments])


def answered(run: pipeline.Run, *arguments: str) -> list[str]:
    done = sidrec("recommend", "--run", run.path, "--json", *arguments)
    assert done.exit_code == 0, done.output
    return [item["item_id"] for item in json.loads(done.stdout)["items"]]


def test_a_year(run: pipeline.Run, arrivals: pl.DataFrame, tmp_path: Path) -> None:
    trained = hashes(run)
    new, old = arrivals["item_id"].to_list(), open_catalogue(run).registry.row_ids()
    gone = old[10:15]
    flat = arrivals.with_columns(pl.col("features", "category").list.join(">"))
    flat.write_csv(tmp_path / "new.csv")
    done = sidrec("codes", "add", "--run", run.path, "--items", tmp_path / "new.csv", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["new"], found["version"], len(found["items"])) == (20, 2, 20)
    assert {item["item_id"] for item in found["items"]} == set(new)

    (tmp_path / "gone.txt").write_text("\n".join(gone))
    done = sidrec("codes", "retire", "--run", run.path, "--ids", tmp_path / "gone.txt", "--json")
    assert json.loads(done.stdout) == {"version": 3, "items": 5, "rows": len(old) + 20, "on_offer": len(old) + 15}

    everything = answered(run, "--text", str(arrivals["title"][0]), "-k", "1000")
    assert len(everything) == len(old) + 15
    assert set(new) <= set(everything) and not set(gone) & set(everything)
    few = answered(run, "--text", str(arrivals["title"][0]), "-k", "5")
    assert len(few) == 5 and not set(few) & set(gone)
    after_retired = answered(run, "--history", ",".join([*gone[:2], new[0]]), "-k", "5")  # all three have a code to be read by
    assert len(after_retired) == 5

    done = sidrec("codes", "restore", "--run", run.path, "--ids", gone[0])
    assert done.exit_code == 0 and f"{len(old) + 16:,} of {len(old) + 20:,} items are on offer" in done.stdout
    assert gone[0] in answered(run, "--text", "toy", "-k", "1000")

    done = sidrec("codes", "diff", run.folder("quantize"), run.path)
    assert done.exit_code == 0 and f"{len(old)} items have the code they had; 0 moved" in done.stdout
    assert "20 got a code" in done.stdout and "4 were retired" in done.stdout
    done = sidrec("codes", "drift", "--run", run.path, "--json")
    assert done.exit_code in (0, 1), done.output
    assert json.loads(done.stdout)["new_items"] == 20
    assert hashes(run) == trained  # the model and all that it was trained on


def test_recommendations_for_all_users_follow_the_catalogue(run: pipeline.Run) -> None:
    pipeline.recommend(run, Batch(k=3))
    made = (run.folder("recommend") / "manifest.json").stat().st_mtime_ns
    pipeline.recommend(run, Batch(k=3))
    assert (run.folder("recommend") / "manifest.json").stat().st_mtime_ns == made
    ids = open_catalogue(run).registry.row_ids()
    assert sidrec("codes", "retire", "--run", run.path, "--ids", ids[0]).exit_code == 0
    pipeline.recommend(run, Batch(k=3))
    shown = pl.read_parquet(run.folder("recommend") / "part-*.parquet")
    assert 0 not in shown["item_index"].to_list()
    assert (run.folder("recommend") / "manifest.json").stat().st_mtime_ns != made


def test_look_shows_the_live_catalogue(run: pipeline.Run) -> None:
    sidrec("codes", "retire", "--run", run.path, "--ids", open_catalogue(run).registry.row_ids()[1])
    assert "9-catalogue" in sidrec("look", run.path).stdout
    shown = sidrec("look", open_catalogue(run).folder)
    assert shown.exit_code == 0 and "registry.parquet" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["add", "--items", "none.csv"], 3, "the file none.csv does not exist"),
        (["add", "--items", "items.xlsx"], 3, "cannot tell the format"),
        (["add", "--items", "new.csv", "--vectors", "image"], 2, "expected NAME=FILE"),
        (
            ["add", "--items", "new.csv", "--vectors", "image=x.npy"],
            3,
            "the codes of this run were learned with given vectors: none",
        ),
        (["retire", "--ids", "nope"], 3, "no item 'nope' in the catalogue"),
        (["retire", "--ids", ","], 3, "no item ids to retire"),
        (["restore", "--ids", "empty.txt"], 3, "empty.txt names no item"),
        (["drift", "--items", "old.csv"], 3, "are in the catalogue already, so none of them is new"),
    ],
)
def test_a_mistake_is_a_sentence(
    run: pipeline.Run, arrivals: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys,
    arguments: list[str], code: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    flat = arrivals.with_columns(pl.col("features", "category").list.join(">"))
    flat.with_columns(pl.col("item_id") + "-other").write_csv("new.csv")
    items = open_catalogue(run).items.head(3)
    items.with_columns(pl.col("features", "category").list.join(">")).drop("cold").write_csv("old.csv")
    Path("items.xlsx").touch()
    Path("empty.txt").write_text("\n")
    monkeypatch.setattr("sys.argv", ["sidrec", "codes", arguments[0], "--run", str(run.path), *arguments[1:]])
    monkeypatch.setitem(os.environ, "COLUMNS", "400")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_diff_exits_with_one_where_codes_moved(run: pipeline.Run, tmp_path: Path) -> None:
    other = small_run(tmp_path / "other", "ingest.demo.products=300", "quantize.levels=[4, 8, 8]")
    for stage in (pipeline.ingest, pipeline.embed, pipeline.quantize):
        stage(other)
    done = sidrec("codes", "diff", run.path, other.path, "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and not found["stable"] and len(found["moved"]) > 200
    done = sidrec("codes", "diff", run.path, tmp_path)
    assert done.exit_code == 1 and "has no registry.parquet" in str(done.exception)


def test_the_commands_of_the_page(run: pipeline.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, on a small run; the slow tests run them on the demo's real size."""
    shutil.copytree(run.path, tmp_path / "runs" / "demo", ignore=shutil.ignore_patterns("9-catalogue"))
    monkeypatch.chdir(tmp_path)
    small = [part for override in [*SMALL, "ingest.demo.products=300"] for part in ("--set", override)]
    Path("sidrec").mkdir()
    Path("sidrec/demo.toml").write_text('name = "small"\n')
    for command in shell_commands(ROOT / "docs" / "catalogue.md"):
        if command.startswith("sidrec "):
            _, *arguments = shlex.split(command)
            done = sidrec(*arguments, *(small if "--config" in arguments else []))
            assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception}"
        else:
            subprocess.run(command, shell=True, check=True)
    assert open_catalogue(pipeline.Run.open(Path("runs/demo"))).version == 5
    registry = open_catalogue(pipeline.Run.open(Path("runs/next"))).registry
    assert set(registry.item_ids) >= {"NEW1", "NEW2"} and int(registry.absent.sum()) == 2
