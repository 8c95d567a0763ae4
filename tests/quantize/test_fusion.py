"""Vectors joined, and joined in the same way months later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sidrec.config import QuantizeConfig
from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.quantize import Fusion, quantize
from sidrec.quantize.fusion import Bought
from tests.quantize.shop import make_shop

NONE = np.zeros(0, np.int64)


def test_an_item_hardly_bought_is_believed_less_than_its_neighbours() -> None:
    """Items 0-5 are alike in text; 0-4 are bought the same way, 5 is not bought at all."""
    text = np.array([[1.0, 0.01 * i] for i in range(6)], np.float32)
    bought = np.array([[0, 1]] * 5, np.float32)
    own = np.array([0, 1, 2, 3, 4, -1])

    def joined(bought: np.ndarray, purchases: list[int], weight: float) -> np.ndarray:
        fusion = Fusion(2, 1.0, (), Bought.of(weight, text[:5], bought, 0), seed=0)
        return fusion._join(text, {}, own, np.array(purchases))

    fused = joined(bought, [9] * 5 + [0], 0.5)
    assert np.array_equal(fused[:, :2], text)
    assert np.allclose(fused[:, 2:], [[0, 0.5]] * 6)
    bought[0] = [1, 0]  # against its neighbours: bought 3 times it stands halfway, often bought it stands alone
    half, alone = (joined(bought, [n, 9, 9, 9, 9, 0], 1.0)[0, 2:] for n in (3, 10**6))
    assert np.allclose(half, [0.5**0.5, 0.5**0.5])  # its neighbours that were bought are all [0, 1]
    assert np.allclose(alone, [1, 0], atol=1e-5)


def test_nobody_bought_anything() -> None:
    text = np.eye(3, dtype=np.float32)
    config = QuantizeConfig(behaviour_weight=1.0, behaviour_dimension=2)
    fusion, fused = Fusion.fit(text, {}, np.zeros(3, np.bool_), [], config, 0)
    assert np.array_equal(fused, np.concatenate((text, np.zeros((3, 2), np.float32)), axis=1))
    assert np.array_equal(fusion.apply(text, {}), fused)


def test_each_vector_can_stand_alone() -> None:
    vectors, _, cold, histories = make_shop()
    text, images = vectors.vectors, np.eye(96, 7, dtype=np.float32) + np.float32(0.1)
    given = {"image": images}
    everything = dict(behaviour_weight=1.0, behaviour_dimension=8)

    def width(given: dict[str, np.ndarray], **config: object) -> int:
        return Fusion.fit(text, given, cold, histories, QuantizeConfig(**config), 0)[1].shape[1]  # type: ignore[arg-type]

    assert width(given, **everything) == 24 + 7 + 8
    assert width(given, text_weight=0.0) == 7
    assert width(given, text_weight=0.0, given_weights={"image": 0.0}, **everything) == 8
    assert width(given, given_weights={"image": 0.0}) == 24
    assert Fusion.fit(text, {}, cold, [], QuantizeConfig(), 0)[1] is text  # a million rows are not copied for nothing
    with pytest.raises(ConfigError, match="all weights are 0"):
        width({}, text_weight=0.0)
    with pytest.raises(ConfigError, match=r"given_weights names 'imgae', embed\.given has: image"):
        width(given, given_weights={"imgae": 1.0})
    with pytest.raises(DataError, match="no item that may be learned from has a vector 'image'"):
        width({"image": images * cold[:, None]})


def test_an_item_without_an_image_gets_the_mean_of_those_that_have_one_and_may_be_learned_from() -> None:
    text = np.eye(4, dtype=np.float32)
    images = np.array([[1, 0], [0, 1], [0, 0], [1, 0]], np.float32)
    cold = np.array([False, False, False, True])
    fusion, fused = Fusion.fit(text, {"image": images}, cold, [], QuantizeConfig(given_weights={"image": 2.0}), 0)
    assert fused[:, 4:].tolist() == [[2, 0], [0, 2], [1, 1], [2, 0]]
    assert fusion.apply(text[:1], {}).tolist() == [[1, 0, 0, 0, 1, 1]]  # the shop gives no images any more
    with pytest.raises(DataError, match=r"width 2 for 'image', found shape \(1, 3\)"):
        fusion.apply(text[:1], {"image": np.ones((1, 3), np.float32)})
    with pytest.raises(DataError, match=r"width 4 for the text, found shape \(1, 3\).*another encoder"):
        fusion.apply(text[:1, :3], {})


def test_frozen_and_read_again_it_joins_a_cold_item_as_it_did(tmp_path: Path) -> None:
    """A cold item is one that nobody bought: encoded later, alone, it gets the codes that it got in the build."""
    vectors, ids, cold, histories = make_shop()
    images = np.random.default_rng(1).standard_normal((96, 5)).astype(np.float32)
    config = QuantizeConfig(levels=(8, 4), behaviour_weight=1.0, behaviour_dimension=8)
    made = quantize(vectors, ids, cold, histories, config, 0, given={"image": images})
    made.fusion.save(tmp_path / "a.safetensors")
    read = Fusion.load(tmp_path / "a.safetensors")
    read.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    later = read.apply(vectors.vectors[cold], {"image": images[cold]})
    assert np.allclose(later, made.fused[cold], atol=1e-6)
    assert np.array_equal(made.quantizer.encode(later), made.encoded[cold])
    assert read.names == ("image",)


def test_a_large_catalogue_finds_the_same_neighbours_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through cells that are kept: found again, or asked by fewer, they would answer otherwise."""
    monkeypatch.setattr("sidrec.quantize.neighbours._EXACT", 20)
    vectors, _, cold, histories = make_shop(kinds=20, variants=20)
    warm = [history[~cold[history]] for history in histories]
    fusion, fused = Fusion.fit(vectors.vectors, {}, cold, warm, QuantizeConfig(behaviour_weight=1.0), 0)
    assert fusion.bought is not None and len(fusion.bought.cells[0]) > 10
    fusion.save(tmp_path / "a.safetensors")
    later = Fusion.load(tmp_path / "a.safetensors")
    for row in np.flatnonzero(cold)[:5]:
        assert np.allclose(later.apply(vectors.vectors[row : row + 1], {})[0], fused[row], atol=1e-5)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    for name in ("a.safetensors", "none.safetensors"):
        with pytest.raises(ArtifactError, match=r"the fusion .* is missing or damaged.*sidrec quantize"):
            Fusion.load(tmp_path / name)
