"""Codes of a run, and what the gate does to it: the evidence is kept, and another gate computes nothing again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidrec import pipeline
from sidrec.artifacts import verified_manifest
from sidrec.configfile import parse_config
from sidrec.errors import ArtifactError, QualityError

SMALL = ["ingest.demo.products=120", "ingest.demo.customers=120", "embed.dimension=64", "quantize.levels=[32, 32, 32]"]
# Codes that no gate of this kind lets pass: of 120 items nearly all share one of eight codes.
CROWDED = ["quantize.levels=[8]", "quantize.collisions=tie"]
PICTURES = [f"pictures/{name}.{kind}" for name in ("heat", "sunburst", "usage") for kind in ("csv", "svg")]


def a_run(path: Path, *overrides: str) -> pipeline.Run:
    return pipeline.Run(path, parse_config({"name": "small"}, [*SMALL, *overrides]))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to its vectors."""
    made = a_run(tmp_path_factory.mktemp("runs") / "small")
    pipeline.ingest(made)
    pipeline.embed(made)
    return made.path


def test_what_a_sound_run_holds_and_says(vectors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.quantize(a_run(vectors))
    manifest = verified_manifest(vectors, "quantize")
    assert {"health.json", "health.html", *PICTURES} <= set(manifest.files)
    assert not any(name.startswith(".") for name in manifest.files)
    assert "gate" not in manifest.config
    said = capsys.readouterr().err
    for part in ("level ", "left over", "D (ties)", "These codes can be trained on", "3-codes/health.html"):
        assert part in said
    assert ".partial" not in said


def test_the_gate_stops_keeps_the_page_and_lets_pass_without_learning_again(
    vectors: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = verified_manifest(vectors, "quantize").fingerprint
    with pytest.raises(QualityError, match=r"Too many items share their code.*3-codes\.partial/health\.html") as stopped:
        pipeline.quantize(a_run(vectors, *CROWDED))
    assert 'quantize.collisions = "move"' in str(stopped.value)
    partial = vectors / "3-codes.partial"
    page = (partial / "health.html").read_text("utf-8")
    assert "The run has stopped here" in page and (partial / "health.json").is_file()
    assert all((partial / name).is_file() for name in PICTURES)
    assert verified_manifest(vectors, "quantize").fingerprint == sound, "the finished codes of before are untouched"

    with pytest.raises(QualityError):  # again, and no faster way through
        pipeline.quantize(a_run(vectors, *CROWDED))

    def never(*_: object) -> None:
        raise AssertionError("learned again")

    monkeypatch.setattr("sidrec.assign._learn", never)
    capsys.readouterr()
    pipeline.quantize(a_run(vectors, *CROWDED, "quantize.gate.action=warn"))
    said = capsys.readouterr().err
    assert "warning: Too many items share their code" in said
    assert "3-codes/health.html" in said and ".partial" not in said, "a warning names the page where it will stand"
    assert not partial.exists()
    page = (vectors / "3-codes" / "health.html").read_text("utf-8")
    assert "The gate only warns" in page and "has stopped" not in page


def test_a_stricter_gate_judges_what_is_kept(vectors: Path) -> None:
    with pytest.raises(QualityError, match=r"small/3-codes/health\.html"):
        pipeline.quantize(a_run(vectors, *CROWDED))
    pipeline.quantize(a_run(vectors, *CROWDED, "quantize.gate.max_tied_items=1"))


def test_the_next_stage_does_not_start_on_codes_that_were_stopped(tmp_path: Path, vectors: Path) -> None:
    import shutil

    fresh = tmp_path / "fresh"
    shutil.copytree(vectors, fresh)
    shutil.rmtree(fresh / "3-codes")
    with pytest.raises(QualityError):
        pipeline.run_all(a_run(fresh, *CROWDED))
    assert not (fresh / "4-conversations").exists()
    with pytest.raises(ArtifactError, match="3-codes is missing"):
        pipeline.converse(a_run(fresh, *CROWDED))
