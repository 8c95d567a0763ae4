from __future__ import annotations

import json

import numpy as np
import pytest

from sidrec.config import QuantizeConfig
from sidrec.errors import ConfigError, DataError
from sidrec.quantize import Quantized, quantize
from sidrec.types import ItemVectors
from tests.quantize.shop import make_shop

TEXT = QuantizeConfig(levels=(8, 4), tie_codes=2)
FUSED = QuantizeConfig(levels=(8, 4), tie_codes=2, behaviour_weight=1.0, behaviour_dimension=8)


@pytest.mark.parametrize("config", [TEXT, FUSED])
def test_codes_of_every_item_and_the_same_bytes_again(config: QuantizeConfig) -> None:
    vectors, ids, cold, histories = make_shop()
    first, again = (quantize(vectors, ids, cold, histories, config, seed=4) for _ in range(2))
    assert first.codes.codes.shape == (96, 3)
    assert first.codes.sizes[:2] == (8, 4) and first.codes.sizes[2] >= 2
    assert first.fused.shape == (96, 24 if config is TEXT else 32)
    assert first.codes.codes.tobytes() == again.codes.codes.tobytes()
    assert json.dumps(first.health) == json.dumps(again.health)
    assert np.array_equal(first.quantizer.encode(first.fused), first.encoded)
    assert np.array_equal(first.codes.learned[:, 0], first.encoded[:, 0]), "only the last learned level may move"


def test_both_ways_with_collisions_and_no_tie_level() -> None:
    shop = make_shop()
    tied, moved, shared = (
        quantize(*shop, QuantizeConfig(levels=(8, 16)).model_copy(update=change), seed=0)
        for change in ({"collisions": "tie"}, {"collision_limit": 9.0}, {"tie_codes": 0, "collision_limit": 9.0})
    )
    assert np.array_equal(tied.codes.learned, tied.encoded)
    assert np.array_equal(moved.encoded, tied.encoded), "moving must not change what the quantizer says"
    assert len(np.unique(moved.codes.learned, axis=0)) > len(np.unique(tied.encoded, axis=0))
    assert np.array_equal(shared.codes.codes, moved.codes.learned)
    assert shared.codes.sizes == (8, 16) and not shared.codes.tie_level
    assert shared.health["tie_codes"] == 0 and [level["level"] for level in shared.health["levels"]] == ["A", "B"]


@pytest.mark.parametrize("config", [TEXT, FUSED])
def test_cold_items_have_no_say(config: QuantizeConfig) -> None:
    vectors, ids, cold, histories = make_shop()
    before = quantize(vectors, ids, cold, histories, config, seed=0)
    moved = vectors.vectors.copy()
    moved[cold] = moved[cold][::-1]  # every cold item becomes one of another kind
    without = [history[~cold[history]] for history in histories]
    after = quantize(ItemVectors(moved), ids, cold, without, config, seed=0)
    assert np.array_equal(before.codes.codes[~cold], after.codes.codes[~cold])
    assert not np.array_equal(before.codes.codes[cold], after.codes.codes[cold])
    for old, new in zip(before.quantizer.centres, after.quantizer.centres, strict=True):
        assert old.tobytes() == new.tobytes()


def test_behaviour_decides_where_text_says_nothing() -> None:
    """Text is noise; customers buy from two camps. Only the fused codes can tell the camps apart."""
    rng = np.random.default_rng(0)
    text = rng.standard_normal((40, 16)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    camp = np.arange(40) % 2
    histories = [(2 * rng.permutation(20)[:5] + user % 2).astype(np.int32) for user in range(300)]
    args = (ItemVectors(text), [f"{i:02}" for i in range(40)], np.zeros(40, np.bool_), histories)

    def purity(made: Quantized) -> float:
        first = made.codes.codes[:, 0]
        return max(float((first == camp).mean()), float((first != camp).mean()))

    assert purity(quantize(*args, QuantizeConfig(levels=(2,)), seed=0)) < 0.8
    assert purity(quantize(*args, QuantizeConfig(levels=(2,), behaviour_weight=3.0, behaviour_dimension=4), seed=0)) == 1


def test_bad_input_is_named() -> None:
    vectors, ids, cold, histories = make_shop()
    zero = vectors.vectors.copy()
    zero[[3, 9]] = 0
    with pytest.raises(DataError, match=r"item 'P003' \(row 3\) is zero \(1 more are like it\)"):
        quantize(ItemVectors(zero), ids, cold, histories, TEXT, 0)
    zero[3, 0] = np.inf
    with pytest.raises(DataError, match=r"item 'P003' \(row 3\) holds a value that is not finite"):
        quantize(ItemVectors(zero), ids, cold, histories, TEXT, 0)
    for config in (TEXT, TEXT.model_copy(update={"tie_codes": 0})):
        with pytest.raises(DataError, match=r"'P000' stands twice \(again in row 95\)"):
            quantize(vectors, [*ids[:-1], ids[0]], cold, histories, config, 0)
    with pytest.raises(DataError, match="do not belong together"):
        quantize(vectors, ids[:-1], cold, histories, TEXT, 0)
    with pytest.raises(DataError, match="all 96 items are cold"):
        quantize(vectors, ids, np.ones(96, np.bool_), histories, TEXT, 0)
    with pytest.raises(DataError, match="88 items cannot fill the 256 codes of level A"):
        quantize(vectors, ids, cold, histories, QuantizeConfig(), 0)
    with pytest.raises(DataError, match="histories name item 96, but there are only items 0 to 95"):
        quantize(vectors, ids, cold, [np.array([96], np.int32)], TEXT, 0)
    with pytest.raises(ConfigError, match="letters for 26"):
        quantize(vectors, ids, cold, histories, QuantizeConfig(levels=(2,) * 26), 0)
