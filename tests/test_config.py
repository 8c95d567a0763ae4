"""A wrong key or value is answered with its name, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidrec.config import EVALUATED_TASKS, TASKS, RunConfig
from sidrec.configfile import load_config, parse_config
from sidrec.errors import ConfigError

EXAMPLES = sorted(Path(__file__).parents[1].joinpath("examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_valid(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_the_eleven_tasks() -> None:
    assert len(EVALUATED_TASKS) == 11 and len(set(TASKS)) == len(TASKS)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.full.epoch=3", "unknown key 'train.full.epoch'; did you mean 'epochs'"),
        ("ingest.split='last'", "ingest.split: input should be 'leave-last-out' or 'global-time' .*found 'last'"),
        ("quantize.levels=[0]", r"quantize.levels.0: input should be greater than or equal to 1 \(found 0\)"),
        ("converse.weights.title_to_sids=1", "unknown task 'title_to_sids'; did you mean 'title_to_sid'"),
        ("seed", "expected section.key=value"),
        ("seed.x=1", "seed"),
    ],
)
def test_wrong_values_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"seed": 1}, [override])


def test_overrides_take_toml_values_and_bare_words() -> None:
    config = parse_config({}, ["ingest.source=tables", "quantize.levels=[8, 8]", "train.full.epochs=0.5"])
    assert (config.ingest.source, config.quantize.levels, config.train.full.epochs) == ("tables", (8, 8), 0.5)


def test_folders_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("[ingest]\nsource = 'tables'\n[ingest.tables]\nfolder = 'data'\n")
    assert Path(load_config(path).ingest.tables.folder) == tmp_path / "data"
    assert load_config(path, ["ingest.tables.folder=/elsewhere"]).ingest.tables.folder == "/elsewhere"


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config file"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(ConfigError, match=r"bad\.toml is not a TOML file.*line 1"):
        load_config(tmp_path / "bad.toml")


def test_every_field_says_what_it_is() -> None:
    def check(model: type) -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            assert field.description, f"{model.__name__}.{name} has no description"
            if hasattr(field.annotation, "model_fields"):
                check(field.annotation)

    check(RunConfig)
