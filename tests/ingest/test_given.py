"""Vectors from the shop: every form they may come in, and everything that may be wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from sidrec.config import GivenVectors, IngestConfig, TablesSource
from sidrec.configfile import load_config
from sidrec.errors import ConfigError, DataError
from sidrec.ingest import given_files, read_given

IMAGE = GivenVectors(name="image")
TABLES = IngestConfig(source="tables")
ROWS = {"item_id": ["a", "b", "c"], "image": [[3.0, 4.0], None, [0.0, 2.0]]}
WANTED = ["c", "b", "a", "new"]
EXPECTED = [[0, 1], [0, 0], [0.6, 0.8], [0, 0]]


def write(folder: Path, kind: str) -> Path:
    path = folder / f"images.{kind}"
    frame = pl.DataFrame(ROWS)
    if kind == "parquet":
        frame.write_parquet(path)
    elif kind == "jsonl":
        frame.write_ndjson(path)
    elif kind == "csv":
        path.write_text('item_id,image\na,"[3, 4]"\nb,\nc,"[0.0, 2.0]"\n')
    else:
        array = np.array([[3, 4], [0, 2]], np.float16)
        np.save(path, array) if kind == "npy" else save_file({"vectors": array}, path)
        (folder / "images.ids.txt").write_text("a\nc\n")
    return path


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv", "npy", "safetensors"])
def test_unit_rows_in_the_order_asked_for_and_zero_where_there_is_none(tmp_path: Path, kind: str) -> None:
    found = read_given(IMAGE, write(tmp_path, kind), TABLES, WANTED)
    assert found.dtype == np.float32 and np.allclose(found, EXPECTED)


def test_arrays_and_narrow_columns_of_parquet(tmp_path: Path) -> None:
    for kind in (pl.Array(pl.Float32, 2), pl.List(pl.Int16)):
        pl.DataFrame({"item_id": ["a"], "v": pl.Series([[3, 4]], dtype=kind)}).write_parquet(tmp_path / "x.parquet")
        found = read_given(GivenVectors(name="image", column="v"), tmp_path / "x.parquet", TABLES, ["a"])
        assert np.allclose(found, [[0.6, 0.8]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [float("nan"), 1.0]], "the vector 'image' of item 'b' holds a value that is not finite"),
        ([[1.0, 2.0], [None, 1.0]], "the vector 'image' of item 'b' holds a value that is not finite"),
        ([[0.0, 0.0], [1.0, 1.0]], "the vector 'image' of item 'a' is zero; leave out"),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], r"differ in width \(2 to 3; item 'a' is one\)"),
        ([None, None], "no item has a vector in the column 'image'"),
        (["[1, 2]", "[1, x]"], r"'\[1, x\]' \(item row 2\) is no list of numbers"),
        ([1.0, 2.0], "expected lists of numbers"),
    ],
)
def test_wrong_vectors_are_named_by_item(tmp_path: Path, rows: list[object], message: str) -> None:
    kind = None if any(rows) else pl.List(pl.Float64)
    pl.DataFrame({"item_id": ["a", "b"], "image": pl.Series(rows, dtype=kind)}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message):
        read_given(IMAGE, tmp_path / "x.parquet", TABLES, ["a", "b"])


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "npy")
    (tmp_path / "images.ids.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match=r"float16 \(2, 2\), images.ids.txt names 3 items"):
        read_given(IMAGE, path, TABLES, ["a"])
    (tmp_path / "images.ids.txt").write_text("a\na\n")
    with pytest.raises(DataError, match=r"item 'a' has two vectors \(rows 1 and 2\)"):
        read_given(IMAGE, path, TABLES, ["a"])
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no array of vectors"):
        read_given(IMAGE, path, TABLES, ["a"])
    (tmp_path / "images.ids.txt").unlink()
    with pytest.raises(DataError, match=r"images\.ids\.txt does not exist"):
        read_given(IMAGE, path, TABLES, ["a"])


def test_which_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\n")
    (tmp_path / "interactions.csv").write_text("")
    (tmp_path / "shop.toml").write_text(
        '[[embed.given]]\nname = "image"\nfile = "images.npy"\n[[embed.given]]\nname = "sound"\n'
    )
    given = load_config(tmp_path / "shop.toml").embed.given
    tables = IngestConfig(source="tables", tables=TablesSource(folder=str(tmp_path)))
    with pytest.raises(DataError, match=r"images\.npy does not exist.*file of 'image'"):
        given_files(given, tables)
    (tmp_path / "images.npy").touch()
    assert given_files(given, tables) == [tmp_path / "images.npy", tmp_path / "items.csv"]
    with pytest.raises(ConfigError, match="the demo shop has no vectors 'sound'"):
        given_files(given, IngestConfig())
    with pytest.raises(ConfigError, match="names 'image' twice"):
        given_files([IMAGE, IMAGE], tables)
