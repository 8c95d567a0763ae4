"""Items come and go in a run with codes; what a model learned from stays as it is, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from filelock import FileLock

from sidrec import pipeline, storage
from sidrec.catalogue import grow
from sidrec.catalogue.live import content, latest, open_catalogue, versions
from sidrec.errors import ArtifactError, DataError
from sidrec.quantize import Codebook
from tests.catalogue.shop import hashes, open_shop, write_tables


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Run, pl.DataFrame, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("shop")
    opening, later = write_tables(folder)
    return open_shop(folder), opening, later


@pytest.fixture
def shop(made: tuple[pipeline.Run, pl.DataFrame, pl.DataFrame], tmp_path: Path) -> pipeline.Run:
    """A copy of the run, for this test to change."""
    shutil.copytree(made[0].path, tmp_path / "run")
    return pipeline.Run(tmp_path / "run", made[0].config)


@pytest.fixture
def opening(made: tuple[pipeline.Run, pl.DataFrame, pl.DataFrame]) -> pl.DataFrame:
    return made[1]


@pytest.fixture
def later(made: tuple[pipeline.Run, pl.DataFrame, pl.DataFrame]) -> pl.DataFrame:
    return made[2]


def written(frame: pl.DataFrame, folder: Path, name: str = "new.parquet") -> Path:
    frame.write_parquet(folder / name)
    return folder / name


def test_new_items_get_codes_and_old_ones_keep_theirs(shop: pipeline.Run, later: pl.DataFrame, tmp_path: Path) -> None:
    before, trained_on = open_catalogue(shop), hashes(shop)
    done = grow.add(shop, written(later, tmp_path))
    after = open_catalogue(shop)
    assert (done.new, done.back, done.version, after.version, before.version) == (later.height, 0, 2, 2, 1)
    assert after.items.height == before.items.height + later.height == after.codes.n_items
    assert np.array_equal(after.codes.codes[: before.items.height], before.codes.codes)
    assert after.items.head(before.items.height).equals(before.items)
    assert after.items["item_id"].tail(later.height).to_list() == later["item_id"].to_list()
    assert after.items["cold"].tail(later.height).all() and after.registry.offered().all()
    assert dict(done.items) == {
        item: tuple(code) for item, code in zip(after.registry.row_ids(), after.codes.codes.tolist(), strict=True)
        if item in set(later["item_id"])
    }  # fmt: skip
    assert hashes(shop) == trained_on
    read = storage.load_codes(after.folder)
    assert np.array_equal(read.codes, after.codes.codes) and read.sizes == before.codes.sizes


def test_one_by_one_all_at_once_or_in_another_order_they_get_the_same_codes(
    shop: pipeline.Run, later: pl.DataFrame, tmp_path: Path
) -> None:
    other = pipeline.Run(tmp_path / "other", shop.config)
    shutil.copytree(shop.path, other.path)
    grow.add(shop, written(later.reverse(), tmp_path))
    for row in range(0, later.height, 7):
        grow.add(other, written(later.sort("item_id")[row : row + 7], tmp_path))
    one, many = open_catalogue(shop).registry, open_catalogue(other).registry
    assert one.item_ids == many.item_ids and np.array_equal(one.codes, many.codes)


def test_an_item_added_later_gets_the_learned_codes_that_a_cold_one_got_in_the_build(
    shop: pipeline.Run, opening: pl.DataFrame, tmp_path: Path
) -> None:
    corpus = storage.load_corpus(shop.folder("ingest"))
    cold = corpus.items.filter("cold")["item_id"].to_list()
    assert cold
    twins = opening.filter(pl.col("item_id").is_in(cold)).with_columns(pl.col("item_id") + "-twin")
    done = grow.add(shop, written(twins, tmp_path))
    codes = dict(zip(open_catalogue(shop).registry.row_ids(), open_catalogue(shop).codes.codes.tolist(), strict=True))
    for item in cold:
        assert codes[item][:2] == codes[f"{item}-twin"][:2]  # the last learned level may have moved away from its twin
    assert done.new == len(cold)


def test_retired_and_restored(shop: pipeline.Run, opening: pl.DataFrame, tmp_path: Path) -> None:
    ids = opening["item_id"].head(5).to_list()
    after = grow.retire(shop, ids)
    assert after.version == 2
    away = {item for item, there in zip(after.registry.row_ids(), after.registry.offered(), strict=True) if not there}
    assert away == set(ids) and after.codes.n_items == open_catalogue(shop).items.height
    done = grow.add(shop, written(opening.head(5), tmp_path))
    assert set(done.retired) == set(ids) and done.version == 2  # being in a file does not bring them back
    assert grow.restore(shop, ids[:2]).registry.offered().sum() == after.codes.n_items - 3
    assert grow.restore(shop, ids[:2]).version == 3  # nothing to do, nothing written


def test_other_text_is_refused_or_taken_and_the_code_kept(shop: pipeline.Run, later: pl.DataFrame, tmp_path: Path) -> None:
    grow.add(shop, written(later, tmp_path))
    before = open_catalogue(shop)
    other = later.with_columns(
        title=pl.lit("Terrarium heat lamp for bearded dragons"),
        description=pl.lit("Keeps a terrarium warm."),
        features=pl.lit([], dtype=pl.List(pl.String)),
        category=pl.lit(["Pet Supplies", "Reptiles", "Heat lamps"]),
        price=pl.lit(3.5),
    )
    file = written(pl.concat([other.head(2).select(later.columns), later[2:3].with_columns(price=pl.lit(1.25))]), tmp_path)
    name = repr(later["item_id"][0])
    with pytest.raises(DataError, match=rf"item {name} is in the catalogue with another title: .*\(2 more items differ\)"):
        grow.add(shop, file)
    assert open_catalogue(shop).version == before.version
    done = grow.add(shop, file, "update")
    after = open_catalogue(shop)
    assert (len(done.changed), done.new, after.version) == (3, 0, 3)
    assert np.array_equal(after.codes.codes, before.codes.codes)
    row = after.registry.row_ids().index(later["item_id"][0])
    assert after.items["title"][row].startswith("Terrarium") and after.items["price"][row] == 3.5
    assert after.registry.texts[row] != before.registry.texts[row]
    kept = {one.item_id: one for one in done.changed}
    assert kept[later["item_id"][2]].levels_kept == 3 and not kept[later["item_id"][2]].drifted  # only its price changed
    assert any(one.drifted for one in done.changed)
    assert any("no longer matches their text" in line for line, _ in done.lines())


def test_a_file_with_nothing_new_writes_nothing(shop: pipeline.Run, opening: pl.DataFrame, tmp_path: Path) -> None:
    done = grow.add(shop, written(opening, tmp_path))
    assert (done.new, done.version, latest(shop.path)) == (0, 1, None) and done.unchanged == open_catalogue(shop).items.height
    assert next(iter(done.lines()))[0] == "nothing new in the file: nothing was written"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: pl.concat([f, f.head(1)]), r"the item id '.*' stands twice \(again in line 21; 1 such rows\)"),
        (
            lambda f: f.with_columns(title=pl.lit(" ")),
            r"no item that can be used \(20 rows, the first left out in line 1: missing_title\)",
        ),
        (lambda f: f.head(0), r"has no item that can be used \(0 rows\)"),
        (lambda f: f.drop("brand"), r"no column 'brand', which ingest.tables.columns.brand names"),
    ],
)
def test_a_file_that_cannot_be_used(shop: pipeline.Run, later: pl.DataFrame, tmp_path: Path, change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        grow.add(shop, written(change(later), tmp_path))
    assert latest(shop.path) is None


def test_unknown_ids_a_locked_run_and_damage(shop: pipeline.Run, later: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no item 'nope' in the catalogue; item ids look like"):
        grow.retire(shop, ["nope"])
    with FileLock(shop.path / ".lock"), pytest.raises(ArtifactError, match="another sidrec process works in"):
        grow.add(shop, written(later, tmp_path))
    grow.add(shop, written(later, tmp_path))
    folder = latest(shop.path)
    assert folder is not None
    (folder / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"items\.parquet is damaged.*remove .*000002 to fall back"):
        open_catalogue(shop)
    shutil.rmtree(folder)
    assert open_catalogue(shop).version == 1
    (shop.folder("quantize") / "fusion.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"fusion\.safetensors is damaged.*sidrec quantize"):
        grow.add(shop, written(later, tmp_path))


def test_a_live_catalogue_of_other_codes_is_refused(shop: pipeline.Run, opening: pl.DataFrame) -> None:
    grow.retire(shop, opening["item_id"].head(1).to_list())
    table = shop.config.quantize.model_copy(update={"levels": (4, 4)})
    other = pipeline.Run(shop.path, shop.config.model_copy(update={"quantize": table}))
    pipeline.quantize(other)
    with pytest.raises(ArtifactError, match="grew from another 3-codes than the one that is there now"):
        open_catalogue(other)


def test_vectors_of_another_width_are_refused(shop: pipeline.Run) -> None:
    codebook = Codebook.load(shop.folder("quantize"))
    with pytest.raises(DataError, match=r"width 16 for the text, found shape \(1, 12\).*another encoder"):
        codebook.join(np.ones((1, 12), np.float32), {}, ["x"])
    for row, what in ((np.zeros((1, 16)), "is zero"), (np.full((1, 16), np.nan), "holds a value that is not finite")):
        with pytest.raises(DataError, match=rf"the vector of item 'x' \(row 0\) {what}"):
            codebook.join(row.astype(np.float32), {}, ["x"])


def test_three_versions_are_kept_and_a_reader_of_one_that_goes_finds_the_next(
    shop: pipeline.Run, opening: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = opening["item_id"].to_list()
    for item in ids[:5]:
        grow.retire(shop, [item])
    assert [path.name for path in versions(shop.path)] == ["000004", "000005", "000006"]
    stale = versions(shop.path)[0]
    shutil.rmtree(stale)
    answers = iter([stale])
    real = latest
    monkeypatch.setattr("sidrec.catalogue.live.latest", lambda run: next(answers, None) or real(run))
    assert open_catalogue(shop).version == 6


def test_a_catalogue_that_is_replaced_faster_than_it_is_read_is_never_taken_for_the_first_version(
    shop: pipeline.Run, opening: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow.retire(shop, opening["item_id"].head(1).to_list())
    gone = (shop.path / "9-catalogue" / f"{version:06}" for version in range(100, 1000))
    monkeypatch.setattr("sidrec.catalogue.live.latest", lambda run: next(gone))
    for read in (open_catalogue, content):
        with pytest.raises(ArtifactError, match=r"9-catalogue was replaced 5 times while it was read: try again"):
            read(shop)


def test_a_killed_writer_leaves_the_version_before(
    shop: pipeline.Run, opening: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = opening["item_id"].to_list()
    grow.retire(shop, ids[:1])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sidrec.quantize.Registry.save", die)
        grow.retire(shop, ids[1:2])
    assert open_catalogue(shop).version == 2
    grow.retire(shop, ids[1:2])
    after = open_catalogue(shop)
    assert (after.version, int((~after.registry.offered()).sum())) == (3, 2)
