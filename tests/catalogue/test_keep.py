"""A year later the catalogue is built anew, with other items in another order, and every code is where it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidrec import pipeline
from sidrec.catalogue import grow
from sidrec.catalogue.live import open_catalogue
from sidrec.configfile import load_config
from sidrec.errors import ArtifactError, ConfigError
from tests.catalogue.shop import config_of, open_shop, write_tables


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Run, Path, pl.DataFrame, pl.DataFrame]:
    """The run of the first day, grown by half of what comes later, three items retired; and the tables a year later."""
    folder = tmp_path_factory.mktemp("year")
    opening, later = write_tables(folder)
    run = open_shop(folder)
    later.head(10).write_parquet(folder / "spring.parquet")
    grow.add(run, folder / "spring.parquet")
    grow.retire(run, opening["item_id"].head(3).to_list())
    next_year = folder / "next"
    next_year.mkdir()
    shutil.copy(folder / "interactions.csv", next_year)
    # Five of the old items are gone, the retired ones are still listed, and ten items are new; the export has another order.
    pl.concat([later, opening.head(115)]).write_parquet(next_year / "items.parquet")
    return run, next_year, opening, later


def codes_of(run: pipeline.Run) -> dict[str, list[int]]:
    registry = open_catalogue(run).registry
    return dict(zip(registry.item_ids, registry.codes.tolist(), strict=True))


def test_no_code_moves_in_a_rebuild(year: tuple[pipeline.Run, Path, pl.DataFrame, pl.DataFrame], capsys) -> None:
    run, folder, opening, later = year
    rebuilt = open_shop(folder, f"quantize.keep={run.path}")
    before, after = open_catalogue(run), open_catalogue(rebuilt)
    assert after.folder == rebuilt.folder("quantize") and after.version == before.version + 1 == 4
    assert after.items["item_id"].to_list() == after.registry.row_ids() == [*later["item_id"], *opening["item_id"].head(115)]
    assert {item: code for item, code in codes_of(rebuilt).items() if item in codes_of(run)} == codes_of(run)
    assert len(codes_of(rebuilt)) == len(codes_of(run)) + 10
    away = {item for item, gone in zip(after.registry.item_ids, after.registry.retired, strict=True) if gone}
    assert away == {*opening["item_id"].head(3), *opening["item_id"].tail(opening.height - 115)}
    for name in ("quantizer.safetensors", "fusion.safetensors"):
        assert (rebuilt.folder("quantize") / name).read_bytes() == (run.folder("quantize") / name).read_bytes()
    assert (rebuilt.folder("embed") / "encoder.json").read_bytes() == (run.folder("embed") / "encoder.json").read_bytes()
    said = capsys.readouterr().err
    assert "kept the codes of 125 items; 10 are new, 5 are missing and retired" in said
    assert "3 items of the catalogue were retired by hand and stay so" in said
    # Built step by step or in one rebuild, the items that came got the same codes.
    grow.add(run, folder / "items.parquet")
    assert codes_of(run) == codes_of(rebuilt)
    # The items that the rebuild lacked come back with their codes.
    opening.tail(opening.height - 115).write_parquet(folder / "back.parquet")
    done = grow.add(rebuilt, folder / "back.parquet")
    assert (done.new, done.back) == (0, opening.height - 115)
    assert codes_of(rebuilt) == codes_of(run)
    assert open_catalogue(rebuilt).registry.offered().sum() == opening.height - 3 + later.height


def test_it_is_kept_when_nothing_changed_and_made_again_when_the_catalogue_grew(
    year: tuple[pipeline.Run, Path, pl.DataFrame, pl.DataFrame], tmp_path: Path
) -> None:
    run, folder, opening, _ = year
    earlier = pipeline.Run(tmp_path / "earlier", run.config)
    shutil.copytree(run.path, earlier.path)
    config = config_of(folder, f"quantize.keep={earlier.path / '9-catalogue'}")
    rebuilt = pipeline.Run(tmp_path / "rebuilt", config)  # type: ignore[arg-type]
    for stage in (pipeline.ingest, pipeline.embed, pipeline.quantize):
        stage(rebuilt)
    made = (rebuilt.folder("quantize") / "manifest.json").stat().st_mtime_ns
    pipeline.quantize(rebuilt)
    assert (rebuilt.folder("quantize") / "manifest.json").stat().st_mtime_ns == made
    grow.retire(earlier, opening["item_id"][5:6].to_list())
    pipeline.quantize(rebuilt)
    assert (rebuilt.folder("quantize") / "manifest.json").stat().st_mtime_ns != made
    first_day = config_of(folder, f"quantize.keep={earlier.path / '3-codes'}")
    pipeline.quantize(pipeline.Run(rebuilt.path, first_day))  # type: ignore[arg-type]
    assert open_catalogue(rebuilt).version == 2


def test_what_cannot_be_kept_is_said(year: tuple[pipeline.Run, Path, pl.DataFrame, pl.DataFrame], tmp_path: Path) -> None:
    run, folder, _, _ = year

    def fails(error: type[Exception], message: str, *overrides: str) -> None:
        other = pipeline.Run(tmp_path / "other", config_of(folder, *overrides))  # type: ignore[arg-type]
        pipeline.ingest(other)
        with pytest.raises(error, match=message):
            pipeline.embed(other)

    fails(ArtifactError, r"quantize\.keep = '.*none' is no run", f"quantize.keep={tmp_path / 'none'}")
    fails(ConfigError, "is in this very run", f"quantize.keep={tmp_path / 'other'}")
    fails(ConfigError, r"embed\.dimension is 12, but the codes .* with 16", f"quantize.keep={run.path}", "embed.dimension=12")
    fails(ConfigError, r"quantize\.behaviour_weight is 0\.5", f"quantize.keep={run.path}", "quantize.behaviour_weight=0.5")
    fails(ConfigError, r"quantize\.levels is \(4, 4\), but", f"quantize.keep={run.path}", "quantize.levels=[4, 4]")


def test_a_tie_level_may_grow_in_a_rebuild(year: tuple[pipeline.Run, Path, pl.DataFrame, pl.DataFrame], tmp_path: Path) -> None:
    run, folder, _, _ = year
    rebuilt = pipeline.Run(tmp_path / "wider", config_of(folder, f"quantize.keep={run.path}", "quantize.tie_codes=32"))  # type: ignore[arg-type]
    for stage in (pipeline.ingest, pipeline.embed, pipeline.quantize):
        stage(rebuilt)
    assert open_catalogue(rebuilt).codes.sizes == (8, 8, 4, 32)
    assert {item: code for item, code in codes_of(rebuilt).items() if item in codes_of(run)} == codes_of(run)


def test_the_folder_is_relative_to_the_config_file(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text('[quantize]\nkeep = "runs/last-year"\n')
    assert load_config(tmp_path / "shop.toml").quantize.keep == str(tmp_path / "runs" / "last-year")
    assert not np.any([load_config(tmp_path / "shop.toml", ["quantize.keep="]).quantize.keep])
