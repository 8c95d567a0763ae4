"""A reader never sees half, a damaged folder is refused by name, a killed stage goes on."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.exceptions import PolarsError
from safetensors import SafetensorError
from safetensors.numpy import save_file

from sidrec.artifacts import STAGES, Ticket, disk_full, finished, locked, verified_manifest, write_file, writing
from sidrec.errors import ArtifactError


def ticket(seed: int = 0) -> Ticket:
    return Ticket(STAGES["embed"], seed, {"encoder": "tfidf"}, {"ingest": "abc"})


def make(run: Path, text: str = "one", seed: int = 0) -> None:
    with writing(run, ticket(seed)) as folder:
        (folder / "vectors.txt").write_text(text)


def test_finished_only_with_manifest_and_same_fingerprint(tmp_path: Path) -> None:
    assert not finished(tmp_path, ticket())
    make(tmp_path)
    assert finished(tmp_path, ticket())
    assert not finished(tmp_path, ticket(seed=1))
    assert not (tmp_path / "2-vectors.partial").exists()


def test_content_depends_on_the_files_alone(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", seed=1)
    make(tmp_path / "c", "two")
    a, b, c = (verified_manifest(tmp_path / name, "embed").content for name in "abc")
    assert a == b != c


def test_whoever_may_read_the_manifest_may_read_the_vectors(tmp_path: Path) -> None:
    with writing(tmp_path, ticket()) as folder:
        save_file({"vectors": np.zeros(2, np.float32)}, folder / "vectors.safetensors")
        (folder / "tool").touch()
        (folder / "tool").chmod(0o755)
    final = tmp_path / "2-vectors"
    manifest, vectors, tool = (
        (final / name).stat().st_mode & 0o777 for name in ("manifest.json", "vectors.safetensors", "tool")
    )
    assert vectors == manifest and tool & 0o111 and tool | manifest == tool


def test_an_error_leaves_the_old_artefact_and_the_work(tmp_path: Path) -> None:
    make(tmp_path, "old")
    with pytest.raises(KeyboardInterrupt), writing(tmp_path, ticket(1)) as folder:
        (folder / "vectors.txt").write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "2-vectors" / "vectors.txt").read_text() == "old"
    with writing(tmp_path, ticket(1)) as folder:
        assert (folder / "vectors.txt").read_text() == "half"  # same fingerprint: go on
    make(tmp_path, "new", seed=2)
    assert (tmp_path / "2-vectors" / "vectors.txt").read_text() == "new"


def test_work_of_another_fingerprint_is_not_continued(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing(tmp_path, ticket(1)) as folder:
        (folder / "smoke.txt").write_text("from a smoke test")
        raise KeyboardInterrupt
    with writing(tmp_path, ticket(2)) as folder:
        assert not (folder / "smoke.txt").exists()


def test_disk_full_is_one_sentence_and_the_old_artefact_survives(tmp_path: Path) -> None:
    make(tmp_path, "old")
    with pytest.raises(ArtifactError, match=r"no space left.*2-vectors is untouched"), writing(tmp_path, ticket(1)):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert verified_manifest(tmp_path, "embed")
    assert (tmp_path / "2-vectors" / "vectors.txt").read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_recognised_whoever_writes(tmp_path: Path) -> None:
    """safetensors and polars wrap the system's error in their own, with nothing but its text left."""
    raised: list[Exception] = []
    for write in (
        lambda path: path.write_bytes(b"x" * 100_000),
        lambda path: pl.DataFrame({"a": np.random.default_rng(0).random(100_000)}).write_parquet(path),
    ):
        with pytest.raises((OSError, PolarsError)) as caught:
            write(Path("/dev/full"))
        raised.append(caught.value)
    raised.append(SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert all(disk_full(error) for error in raised), raised
    assert not disk_full(FileNotFoundError(2, "No such file"))


def test_damage_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"2-vectors is missing: make it again with `sidrec embed"):
        verified_manifest(tmp_path, "embed")
    make(tmp_path)
    file = tmp_path / "2-vectors" / "vectors.txt"
    file.write_text("onf")
    with pytest.raises(ArtifactError, match=r"vectors.txt is damaged .*sidrec embed"):
        verified_manifest(tmp_path, "embed")
    file.unlink()
    with pytest.raises(ArtifactError, match=r"vectors.txt is missing"):
        verified_manifest(tmp_path, "embed")
    (tmp_path / "2-vectors" / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest.json is damaged"):
        verified_manifest(tmp_path, "embed")
    (tmp_path / "2-vectors" / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"never finished"):
        verified_manifest(tmp_path, "embed")


def test_a_kill_between_the_two_renames_is_healed(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "2-vectors").rename(tmp_path / "2-vectors.old")
    assert finished(tmp_path, ticket())


def test_checkpoints_are_work_not_result(tmp_path: Path) -> None:
    with writing(tmp_path, ticket()) as folder:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "step-1").write_text("x")
        (folder / "model.txt").write_text("x")
    assert set(verified_manifest(tmp_path, "embed").files) == {"model.txt"}
    assert sorted(p.name for p in (tmp_path / "2-vectors").iterdir()) == ["manifest.json", "model.txt"]


def test_one_writer_a_run(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ArtifactError, match="another sidrec process"), locked(tmp_path):
        pass


def test_write_file_keeps_the_old_bytes_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
