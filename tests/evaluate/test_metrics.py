"""Ranking metrics: numbers a person can check, and what must hold for any ranking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.evaluate import hit_at, ladder, mrr, ndcg_at, ranks, recall_at
from sidrec.evaluate import metrics as m

some_ranks = st.lists(st.integers(0, 40), min_size=1, max_size=60).map(lambda values: np.array(values, dtype=np.int64))


def test_by_hand() -> None:
    found = ranks(
        np.array([[4, 9, 2], [4, 9, 2], [4, 9, -1], [7, -1, -1]], dtype=np.int32), np.array([9, 4, 2, 7], dtype=np.int32)
    )
    assert found.tolist() == [2, 1, 0, 1]
    assert recall_at(found, 1) == 2 / 4
    assert hit_at(found, 2) == 3 / 4
    assert ndcg_at(found, 3) == pytest.approx((1 / math.log2(3) + 1 + 0 + 1) / 4)
    assert mrr(found) == (1 / 2 + 1 + 0 + 1) / 4


def test_a_padding_is_never_a_hit() -> None:
    assert ranks(np.full((2, 3), -1, dtype=np.int32), np.array([0, 5], dtype=np.int32)).tolist() == [0, 0]


def test_an_item_named_twice_is_refused() -> None:
    with pytest.raises(DataError, match="row 1 holds one item twice"):
        ranks(np.array([[1, 2], [3, 3]], dtype=np.int32), np.array([1, 3], dtype=np.int32))


@pytest.mark.parametrize(("ranked", "truth"), [((3, 2), (2,)), ((3,), (3,))])
def test_shapes_that_do_not_fit_are_refused(ranked: tuple[int, ...], truth: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="B x K"):
        ranks(np.zeros(ranked, dtype=np.int32), np.zeros(truth, dtype=np.int32))


def test_a_missing_truth_is_refused() -> None:
    with pytest.raises(DataError, match="found -1 in row 1"):
        ranks(np.array([[1], [2]], dtype=np.int32), np.array([1, -1], dtype=np.int32))


def test_nothing_measured_is_not_zero() -> None:
    nothing = ranks(np.empty((0, 10), dtype=np.int32), np.empty(0, dtype=np.int32))
    assert all(math.isnan(value) for value in (recall_at(nothing, 10), ndcg_at(nothing, 10), mrr(nothing)))
    assert np.isnan(ladder(np.empty((0, 4), dtype=np.int32), np.empty((0, 4), dtype=np.int32))).all()


@given(some_ranks, st.integers(1, 39))
def test_recall_and_ndcg_grow_with_k_and_ndcg_stays_below(found: NDArray[np.int64], k: int) -> None:
    assert recall_at(found, k) <= recall_at(found, k + 1)
    assert ndcg_at(found, k) <= ndcg_at(found, k + 1)
    assert 0 <= ndcg_at(found, k) <= recall_at(found, k) <= 1
    assert ndcg_at(found, 1) == recall_at(found, 1)
    assert recall_at(found, 1) <= mrr(found) <= recall_at(found, 40)


@given(st.lists(st.lists(st.integers(-1, 2), min_size=4, max_size=4), min_size=1, max_size=20))
def test_the_ladder_never_rises(rows: list[list[int]]) -> None:
    predicted = np.array(rows, dtype=np.int32)
    steps = ladder(predicted, np.ones_like(predicted))
    assert (np.diff(steps) <= 0).all()
    assert steps[-1] == np.mean([row == [1, 1, 1, 1] for row in rows])


def test_right_deeper_codes_do_not_mend_a_wrong_one() -> None:
    assert ladder(np.array([[0, 5, 5]]), np.array([[9, 5, 5]])).tolist() == [0, 0, 0]


def test_a_random_recommender_finds_k_of_n() -> None:
    rng = np.random.default_rng(0)
    n, b, k = 200, 20_000, 10
    ranked = np.argsort(rng.random((b, n)), axis=1)[:, :k].astype(np.int32)
    share = recall_at(ranks(ranked, rng.integers(n, size=b).astype(np.int32)), k)
    assert share == pytest.approx(k / n, abs=4 * math.sqrt(0.05 * 0.95 / b))  # four standard errors


def test_the_bootstrap_agrees_with_the_textbook() -> None:
    rng = np.random.default_rng(1)
    values = (rng.random((4000, 1)) < 0.2).astype(np.float64)
    low, high = m.interval(m.bootstrap_means(values, np.random.default_rng(2))[:, 0])
    p = values.mean()
    half = 1.96 * math.sqrt(p * (1 - p) / 4000)
    assert (low, high) == (pytest.approx(p - half, abs=0.1 * half), pytest.approx(p + half, abs=0.1 * half))


def test_the_bootstrap_does_not_depend_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).random((101, 3))
    whole = m.bootstrap_means(values, np.random.default_rng(2), 50)
    monkeypatch.setattr(m, "_BLOCK_DRAWS", 7 * 101)
    np.testing.assert_allclose(m.bootstrap_means(values, np.random.default_rng(2), 50), whole, rtol=1e-14)


def test_columns_of_the_bootstrap_are_paired() -> None:
    values = np.random.default_rng(1).random((50, 1))
    means = m.bootstrap_means(np.hstack((values, values + 0.25)), np.random.default_rng(2), 20)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.25, rtol=1e-12)
