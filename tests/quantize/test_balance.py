from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from sidrec.config import QuantizeConfig
from sidrec.quantize import ResidualKMeans, quantize
from sidrec.quantize.balance import capacity_prices
from sidrec.quantize.kmeans import nearest
from tests.quantize.shop import make_shop


def test_a_crowded_code_costs_what_moves_its_farthest_rows() -> None:
    """Rows at 0.00, 0.01 ... 0.99, centres at 0 and 1: half each. With centres at 0 and 2 all are nearest to 0; to have half
    of them go to 2, it must cost the row at 0.5 as much: a price of 2.25 - 0.25 on the first."""
    rows = (np.arange(100, dtype=np.float32) / 100)[:, None]
    even = capacity_prices(rows, np.array([[0], [1]], np.float32), capacity=1.1)
    assert even.tolist() == [0, 0]
    centres = np.array([[0], [2]], np.float32)
    prices = capacity_prices(rows, centres, capacity=1.0)
    assert prices[1] == 0 and prices[0] == pytest.approx(2.0, abs=0.1)
    labels, _ = nearest(rows, centres, prices)
    assert np.bincount(labels).tolist() == pytest.approx([50, 50], abs=2)


@pytest.mark.parametrize("capacity", [1.2, 2.0])
def test_no_code_is_crowded_at_any_level(capacity: float) -> None:
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 41)
    kinds = rng.choice(40, 4000, p=shares / shares.sum())
    vectors = (rng.standard_normal((40, 12))[kinds] + 0.3 * rng.standard_normal((4000, 12))).astype(np.float32)
    found = {}
    for balance in (0.0, capacity):
        quantizer = ResidualKMeans.fit(vectors, (16, 16), 0, 50, 1e-4, balance=balance)
        codes = quantizer.encode(vectors)
        found[balance] = [np.bincount(codes[:, level]).max() / (4000 / 16) for level in (0, 1)]
    assert max(found[capacity]) < 1.2 * capacity
    assert max(found[0.0]) > 1.3 * capacity, "without a cap it would be crowded"


def test_equal_rows_cannot_be_parted() -> None:
    rows = np.repeat(np.array([[0], [1]], np.float32), [90, 10], axis=0)
    labels, _ = nearest(rows, np.array([[0], [1]], np.float32), capacity_prices(rows, np.array([[0], [1]], np.float32), 1.2))
    assert len(np.unique(labels[:90])) == 1


def test_prices_are_frozen_with_the_codebook(tmp_path: Path) -> None:
    vectors, ids, cold, histories = make_shop()
    config = QuantizeConfig(levels=(8, 4), balance=1.2)
    first, again = (quantize(vectors, ids, cold, histories, config, seed=0) for _ in range(2))
    assert first.codes.codes.tobytes() == again.codes.codes.tobytes()
    first.quantizer.save(tmp_path / "q")
    loaded = ResidualKMeans.load(tmp_path / "q")
    assert any(price is not None and price.any() for price in loaded.prices)
    assert np.array_equal(loaded.encode(first.fused), first.encoded)
    one = np.concatenate([loaded.encode(first.fused[i : i + 1]) for i in range(96)])
    assert np.array_equal(one, first.encoded), "a new item's code must not depend on what arrives with it"
    away = loaded.distances(first.fused, first.encoded[:, :1])
    assert np.array_equal(away.argmin(axis=1), first.encoded[:, 1])


def test_a_cap_below_the_even_share_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"balance 0\.5 leaves items without a code: use 0"):
        QuantizeConfig(balance=0.5)
    with pytest.raises(ValidationError, match="balance is for the method 'residual-kmeans', the method is 'rq-vae'"):
        QuantizeConfig(method="rq-vae", balance=1.5)
