"""Whole fits on small shops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from sidrec.config import QuantizeConfig
from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.quantize import load_quantizer, quantize
from sidrec.quantize.lesson import Lesson
from sidrec.quantize.rqvae import RqVae
from sidrec.quantize.rqvae import fit as fitting
from sidrec.quantize.rqvae.fit import fit_rqvae
from tests.quantize.shop import make_shop

SHOP, _, _, HISTORIES = make_shop(kinds=16, variants=40)
ROWS = SHOP.vectors


def config(levels: tuple[int, ...] = (16, 8), **settings: Any) -> QuantizeConfig:
    small = {"hidden": (32,), "code_width": 8, "epochs": 20, "batch_size": 128, "learning_rate": 5e-3, "device": "cpu"}
    return QuantizeConfig.model_validate({"method": "rq-vae", "levels": levels, "rqvae": small | settings})


def lesson(
    vectors: np.ndarray = ROWS,
    histories: Any = (),
    seed: int = 0,
    workspace: Path | None = None,
    rows: np.ndarray | None = None,
) -> Lesson:
    return Lesson(vectors, np.arange(len(vectors)) if rows is None else rows, histories, seed, workspace)


def error(quantizer: RqVae, levels: int, vectors: np.ndarray = ROWS) -> float:
    return float(((vectors - quantizer.decode(quantizer.encode(vectors)[:, :levels])) ** 2).sum(axis=1).mean())


@pytest.fixture(scope="module")
def fitted() -> RqVae:
    return fit_rqvae(lesson(), config())


def test_every_code_is_used_and_codes_say_what_an_item_is(fitted: RqVae) -> None:
    codes = fitted.encode(ROWS)
    assert fitted.sizes == (16, 8) and fitted.width == ROWS.shape[1]
    assert codes.shape == (640, 2) and codes.dtype == np.int32
    assert [len(np.unique(codes[:, level])) for level in (0, 1)] == [16, 8]
    spread = float(((ROWS - ROWS.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert error(fitted, 2) < 0.4 * spread
    kinds = np.repeat(np.arange(16), 40)
    commonest = sum(np.bincount(kinds[codes[:, 0] == code]).max() for code in range(16))
    assert commonest > 0.9 * 640, "the first level should find the sixteen kinds"


def test_the_frozen_numbers_are_the_network_s(fitted: RqVae) -> None:
    import torch

    training = fitting.Training(lesson(), config())
    quantizer = training.run()
    for name, parameter in training.network.named_parameters():
        parameter.data.copy_(training.kept[name])
    with torch.no_grad():
        rows = training.data.rows(np.arange(640), torch.device("cpu"))
        found = training.network.quantize(training.network.encode(rows))
        decoded = training.network.decode(found.sums_LBC[-1]).numpy() * training.data.scale + training.data.mean
    assert np.array_equal(found.codes.numpy(), quantizer.encode(ROWS))
    assert np.allclose(decoded, quantizer.decode(quantizer.encode(ROWS)), atol=1e-5)
    assert np.array_equal(quantizer.encode(ROWS), fitted.encode(ROWS)), "same seed, same codes"


def test_distances_point_at_the_code_that_encode_takes(fitted: RqVae) -> None:
    codes = fitted.encode(ROWS)
    for level in (0, 1):
        away = fitted.distances(ROWS, codes[:, :level])
        assert away.shape == (640, fitted.sizes[level]) and away.dtype == np.float32
        assert np.array_equal(away.argmin(axis=1), codes[:, level])


def test_save_and_load(fitted: RqVae, tmp_path: Path) -> None:
    path = tmp_path / "quantizer.safetensors"
    fitted.save(path)
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["sidrec.quantizer"])
    assert (header["method"], header["version"], header["sizes"]) == ("rq-vae", 1, [16, 8])
    assert header["settings"]["hidden"] == [32]
    loaded = load_quantizer(path)
    assert isinstance(loaded, RqVae)
    assert loaded.encode(ROWS).tobytes() == fitted.encode(ROWS).tobytes()
    assert loaded.decode(loaded.encode(ROWS)).tobytes() == fitted.decode(fitted.encode(ROWS)).tobytes()
    fit_rqvae(lesson(), config()).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_bad_file_is_named(fitted: RqVae, tmp_path: Path) -> None:
    path = tmp_path / "quantizer.safetensors"
    with pytest.raises(ArtifactError, match="missing or damaged"):
        RqVae.load(path)
    fitted.save(path)
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["sidrec.quantizer"])
    tensors = load_file(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(ArtifactError, match="missing or damaged"):
        load_quantizer(path)
    save_file(tensors, path, {"sidrec.quantizer": json.dumps(header | {"version": 9})})
    with pytest.raises(ArtifactError, match="of version 9, this sidrec reads 'rq-vae' of version 1"):
        load_quantizer(path)
    save_file(tensors, path, {"sidrec.quantizer": json.dumps(header | {"sizes": [16, 9]})})
    with pytest.raises(ArtifactError, match="contradicts itself"):
        load_quantizer(path)
    del tensors["decoder.0.bias"]
    save_file(tensors, path, {"sidrec.quantizer": json.dumps(header)})
    with pytest.raises(ArtifactError, match=r"missing or damaged.*decoder\.0\.bias"):
        load_quantizer(path)


@pytest.mark.parametrize("contrast", [0.0, 0.1])
def test_a_killed_fit_ends_in_the_same_bytes(
    contrast: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = config(epochs=10, contrast_weight=contrast, mask_share=0.3, revive_every=3)
    fit_rqvae(lesson(histories=HISTORIES), chosen).save(tmp_path / "whole")
    monkeypatch.setattr(fitting, "_CHECKPOINT_SECONDS", 0.0)
    step = fitting.Training._step
    for last in (3, 57):  # before there are codes, and between two revivals; ten steps an epoch

        def killed(self: fitting.Training, *args: Any, last: int = last) -> None:
            if self.state.step == last:
                raise KeyboardInterrupt
            step(self, *args)

        monkeypatch.setattr(fitting.Training, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            fit_rqvae(lesson(histories=HISTORIES, workspace=tmp_path), chosen)
    monkeypatch.setattr(fitting.Training, "_step", step)
    fit_rqvae(lesson(histories=HISTORIES, workspace=tmp_path), chosen).save(tmp_path / "resumed")
    assert "goes on after epoch 5 of 10" in capsys.readouterr().err
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "resumed").read_bytes()
    fit_rqvae(lesson(seed=1, histories=HISTORIES, workspace=tmp_path), chosen)
    assert "goes on" not in capsys.readouterr().err, "another seed is another training"


def test_it_stops_when_validation_gets_no_better(capsys: pytest.CaptureFixture[str]) -> None:
    """Noise cannot be foretold: validation soon gets worse while the rows learned from get better."""
    noise = np.random.default_rng(0).standard_normal((400, 24)).astype(np.float32)
    chosen = config(epochs=200, patience=8, valid_share=0.25, revive_until=0.05, learning_rate=1e-2)
    training = fitting.Training(lesson(noise), chosen)
    quantizer = training.run()
    state = training.state
    assert state.epoch == max(state.kept_epoch, training.start_epoch) + 8 < 200
    assert f"stopped after epoch {state.epoch}" in " ".join(capsys.readouterr().err.split())
    kept = training.kept["codebooks.0"].numpy()
    assert np.array_equal(quantizer.centres[0], kept) and not np.array_equal(
        kept, training.network.codebooks[0].detach().numpy()
    )


def test_revival_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    training = fitting.Training(lesson(), config(epochs=20, revive_every=2, revive_until=0.5))
    monkeypatch.setattr(fitting, "revive", lambda *_: seen.append(training.state.epoch))
    training.run()
    assert seen == [4, 6, 8, 10]  # codes begin after epoch 2


def test_masking_leaves_prefixes_that_decode_better() -> None:
    """Thirty kinds and six codes a level. Over three seeds A alone decoded with .95 to .98 of the error without masking, AB
    with .72 to .91, and all three levels with .89 to .99."""
    vectors = make_shop(kinds=30, variants=20)[0].vectors

    def errors(share: float) -> list[float]:
        chosen = config((6, 6, 6), epochs=50, learning_rate=1e-2, valid_share=0, mask_share=share)
        made = fit_rqvae(lesson(vectors), chosen)
        return [error(made, levels, vectors) for levels in (1, 2, 3)]

    plain, masked = errors(0.0), errors(0.3)
    assert masked[0] < plain[0] and masked[1] < 0.9 * plain[1] and masked[2] < 1.1 * plain[2]


def test_the_contrastive_loss_brings_together_what_is_bought_together() -> None:
    """Text tells eight kinds apart; customers buy from one of two camps, which hold four kinds each."""
    shop, _, _, _ = make_shop(kinds=8, variants=20)
    camp = np.repeat(np.arange(8) % 2, 20)
    rng = np.random.default_rng(0)
    histories = [rng.choice(np.flatnonzero(camp == user % 2), 5, replace=False).astype(np.int32) for user in range(400)]

    def purity(weight: float) -> float:
        made = fit_rqvae(lesson(shop.vectors, histories), config((2, 8), contrast_weight=weight, epochs=20))
        first = made.encode(shop.vectors)[:, 0]
        return max(float((first == camp).mean()), float((first != camp).mean()))

    assert purity(1.0) > 0.95
    assert purity(0.0) < 0.9


def test_purchases_of_cold_items_and_cold_vectors_have_no_say() -> None:
    vectors, ids, cold, histories = make_shop()
    chosen = config((8, 4), contrast_weight=0.2, epochs=6)
    before = quantize(vectors, ids, cold, histories, chosen, seed=0)
    moved = vectors.vectors.copy()
    moved[cold] = moved[cold][::-1]
    from sidrec.types import ItemVectors

    after = quantize(ItemVectors(moved), ids, cold, [h[~cold[h]] for h in histories], chosen, seed=0)
    assert np.array_equal(before.codes.codes[~cold], after.codes.codes[~cold])


def test_bad_input_is_named(fitted: RqVae) -> None:
    broken = ROWS.copy()
    broken[7, 3] = np.nan
    with pytest.raises(DataError, match="row 7"):
        fit_rqvae(lesson(broken), config())
    with pytest.raises(DataError, match="row 7"):
        fitted.encode(broken)
    with pytest.raises(DataError, match="takes vectors of width 24, found shape"):
        fitted.encode(ROWS[:, :10])
    with pytest.raises(DataError, match=r"19 items \(1 more are held out for validation\) cannot fill the 20 codes of level B"):
        fit_rqvae(lesson(ROWS[:20]), config((4, 20)))
    with pytest.raises(DataError, match="all 50 vectors are equal"):
        fit_rqvae(lesson(np.full((50, 3), 0.3, np.float32)), config((2,)))
    with pytest.raises(ConfigError, match=r"quantize\.rqvae\.device = 'tpu9' cannot be used here"):
        fit_rqvae(lesson(), config(device="tpu9"))
    with pytest.raises(DataError, match=r"loss is (nan|inf) at step \d+: lower quantize\.rqvae\.learning_rate"):
        fit_rqvae(lesson(), config(learning_rate=1e6))
