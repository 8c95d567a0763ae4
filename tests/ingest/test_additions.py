"""Items that come later, in files of few columns or of none that can be read."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sidrec.config import IngestConfig
from sidrec.errors import DataError
from sidrec.ingest import read_additions
from tests.builders import make_corpus

CONFIG = IngestConfig(source="demo")


def catalogue() -> pl.DataFrame:
    return make_corpus(3).items.with_columns(pl.Series("species", ["Cats", None, "Dogs"]), price=pl.lit(9.5))


def test_a_column_that_the_file_lacks_is_not_taken_from_an_item_that_is_there(tmp_path: Path) -> None:
    """Else a list of new titles would empty the descriptions of the whole catalogue."""
    known = catalogue()
    titles = ["A new title", known["title"][1], "Something new altogether"]
    ids = [known["item_id"][2], known["item_id"][1], "NEW"]
    pl.DataFrame({"item_id": ids, "title": titles}).write_csv(tmp_path / "titles.csv")
    read = read_additions(tmp_path / "titles.csv", CONFIG, known).frame
    assert read["item_id"].to_list() == ids and read["title"].to_list() == titles
    assert read.drop("title", "cold").head(2).equals(known.drop("title", "cold")[[2, 1]])
    assert read.drop("item_id", "title", "cold").row(2) == ("", [], "", [], None, None)


def test_a_column_that_the_file_has_is_taken_though_it_be_empty(tmp_path: Path) -> None:
    known = catalogue()
    row = {"item_id": known["item_id"][0], "title": known["title"][0], "description": "", "species": None}
    pl.DataFrame([row], schema_overrides={"species": pl.String}).write_parquet(tmp_path / "one.parquet")
    read = read_additions(tmp_path / "one.parquet", CONFIG, known).frame
    assert (read["description"][0], read["species"][0], read["brand"][0]) == ("", None, known["brand"][0])


def test_a_file_of_broken_lines_is_called_broken(tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text('{"item_id": \n{"title"\n')
    with pytest.raises(DataError, match=r"new\.jsonl: none of its 2 rows can be read; the first is line 1: not JSON"):
        read_additions(tmp_path / "new.jsonl", CONFIG, catalogue())
