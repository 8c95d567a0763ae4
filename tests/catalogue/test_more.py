"""Runs of other kinds: with given vectors, and without a tie level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidrec import storage
from sidrec.catalogue import grow
from sidrec.catalogue.drifting import measure_drift
from sidrec.catalogue.live import open_catalogue
from sidrec.errors import DataError
from tests.catalogue.shop import hashes, open_shop, write_tables


def images_of(items: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A vector of five numbers for each item but every tenth."""
    rows = np.random.default_rng(seed).standard_normal((items.height, 5)).round(3)
    found = [row if place % 10 else None for place, row in enumerate(rows.tolist())]
    return pl.DataFrame({"item_id": items["item_id"], "image": pl.Series(found, dtype=pl.List(pl.Float64))})


def test_images_decide_the_codes_of_items_that_come_later(tmp_path: Path, capsys) -> None:
    opening, later = write_tables(tmp_path)
    images_of(opening, 1).write_parquet(tmp_path / "images.parquet")
    given = f'embed.given=[{{name="image", file="{tmp_path}/images.parquet"}}]'
    run = open_shop(tmp_path, given, "quantize.text_weight=0.0", "quantize.behaviour_weight=0.0", "quantize.collisions=tie",
                    "quantize.tie_codes=64")  # fmt: skip
    assert "image: 108 vectors of width 5; 12 items have none" in capsys.readouterr().err
    assert storage.load_given(run.folder("embed"), run.config.embed.given)["image"].shape == (120, 5)
    trained_on = hashes(run)

    # Images alone count here, so a new item with the image of an old one gets its learned codes.
    twins = pl.DataFrame({"item_id": later["item_id"], "image": images_of(opening, 1)["image"][1 : 1 + later.height]})
    twins.write_parquet(tmp_path / "new-images.parquet")
    later.write_parquet(tmp_path / "new.parquet")
    with pytest.raises(DataError, match=r"--vectors sound=\.\.\.: .* learned with given vectors: image"):
        grow.add(run, tmp_path / "new.parquet", vectors={"sound": tmp_path / "new-images.parquet"})
    # Before they come: each with its image lies at its own distance from its code, all without one at that of the mean.
    files = {"image": tmp_path / "new-images.parquet"}
    own, mean = (measure_drift(run, tmp_path / "new.parquet", named).figures["worst"] for named in (files, None))
    assert len({one["error"] for one in own}) == 5 and len({one["error"] for one in mean}) == 1
    assert open_catalogue(run).version == 1, "drift looks and adds nothing"
    done = grow.add(run, tmp_path / "new.parquet", vectors={"image": tmp_path / "new-images.parquet"})
    now = open_catalogue(run)
    codes = dict(zip(now.registry.row_ids(), now.codes.learned.tolist(), strict=True))
    with_image = [place for place in range(later.height) if twins["image"][place] is not None]
    assert done.without == {"image": later.height - len(with_image)} and len(with_image) < later.height
    original = {place: opening["item_id"][1 + place] for place in with_image}
    assert all(codes[later["item_id"][place]] == codes[item] for place, item in original.items())
    assert hashes(run) == trained_on
    assert measure_drift(run, None).figures["new_items"] == later.height

    # With no file for them, all new items get the mean: one group of ties.
    other = later.with_columns(pl.col("item_id") + "-b").head(3)
    other.write_parquet(tmp_path / "more.parquet")
    done = grow.add(run, tmp_path / "more.parquet")
    assert done.without == {"image": 3} and len({code[:-1] for _, code in done.items}) == 1
    assert any("have no vector 'image'" in line for line, _ in done.lines())


def test_drift_of_a_file_counts_items_that_would_crowd_the_tie_level(tmp_path: Path) -> None:
    opening, _ = write_tables(tmp_path)
    run = open_shop(tmp_path, "quantize.collisions=tie", "quantize.levels=[2, 2, 2]", "quantize.tie_codes=64")
    group = np.bincount(open_catalogue(run).codes.learned @ np.array([4, 2, 1])).argmax()
    many = [item for item, code in zip(opening["item_id"], open_catalogue(run).codes.learned.tolist(), strict=True)
            if code[0] * 4 + code[1] * 2 + code[2] == group]  # fmt: skip
    copies = [opening.filter(pl.col("item_id").is_in(many)).with_columns(pl.col("item_id") + f"-{n}") for n in range(3)]
    pl.concat(copies).write_parquet(tmp_path / "copies.parquet")
    found = measure_drift(run, tmp_path / "copies.parquet")
    assert found.figures["crowded"] > 0.5 and found.refit
    assert any("nearly no tie code left" in reason for reason in found.reasons)


def test_without_a_tie_level_items_share_codes_and_none_moves(tmp_path: Path) -> None:
    _, later = write_tables(tmp_path)
    run = open_shop(tmp_path, "quantize.tie_codes=0", "quantize.levels=[4, 4]", "quantize.collision_limit=0.1")
    before = open_catalogue(run)
    assert not before.codes.tie_level
    later.write_parquet(tmp_path / "new.parquet")
    assert grow.add(run, tmp_path / "new.parquet").tied == 0
    after = open_catalogue(run)
    assert after.codes.sizes == (4, 4) and np.array_equal(after.codes.codes[: before.items.height], before.codes.codes)
    assert grow.retire(run, later["item_id"].head(1).to_list()).registry.offered().sum() == after.items.height - 1
