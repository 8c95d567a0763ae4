from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidrec.quantize import ResidualKMeans, move_collisions
from sidrec.quantize.collisions import mean_residual
from sidrec.quantize.prefixes import group_ids


def line(*centres: float) -> ResidualKMeans:
    """One level on a line; distances are squares of plain differences."""
    return ResidualKMeans(np.zeros(1, np.float32), (np.array(centres, np.float32)[:, None],))


def moved(quantizer: ResidualKMeans, points: list[float], ids: str, limit: float, **rest: np.ndarray) -> list[int]:
    vectors = np.array(points, np.float32)[:, None]
    return move_collisions(quantizer, vectors, quantizer.encode(vectors), list(ids), limit, **rest)[:, -1].tolist()


def test_all_but_the_first_by_id_take_the_nearest_free_code() -> None:
    """Codes at 0, 1, 2, 3; three items at 1.1. 'a' stays; 'b' goes to 2 (0.81 for 0.01), 'c' to 0 (1.21)."""
    assert moved(line(0, 1, 2, 3), [1.1, 1.1, 1.1], "cab", limit=9) == [0, 1, 2]


def test_an_item_alone_in_its_code_never_moves() -> None:
    """'b' and 'c' meet in 1; 'a' holds 2, so 'c' takes 0 although 2 would be nearer."""
    assert moved(line(0, 1, 2), [1.9, 1.2, 1.2], "abc", limit=9) == [2, 1, 0]


def test_a_move_beyond_the_limit_is_not_made() -> None:
    assert moved(line(0, 1, 2), [1.1, 1.1], "ab", limit=0.79) == [1, 1]  # 0.81 - 0.01 would be added
    assert moved(line(0, 1, 2), [1.1, 1.1], "ab", limit=0.81) == [1, 2]


def test_no_free_code_is_left() -> None:
    assert sorted(moved(line(0, 1), [0, 0, 0, 0], "abcd", limit=9)) == [0, 0, 0, 1]


def test_only_the_same_prefix_counts() -> None:
    """Two levels: items at 0 and 10 share the last code but not the first, so nobody moves."""
    quantizer = ResidualKMeans(np.zeros(1, np.float32), (np.array([[0], [10]], np.float32), np.array([[0], [1]], np.float32)))
    vectors = np.array([[0], [10]], np.float32)
    assert move_collisions(quantizer, vectors, quantizer.encode(vectors), ["a", "b"], 9).tolist() == [[0, 0], [1, 0]]


def test_late_items_move_nobody() -> None:
    late = np.array([True, False, False])
    assert moved(line(0, 1, 2), [1.1, 1.1, 1.1], "abc", 9, late=late) == [0, 1, 2]


def test_the_mean_residual_counts_the_last_level() -> None:
    quantizer, vectors = line(0, 4), np.array([[1], [4], [2]], np.float32)
    codes = quantizer.encode(vectors)
    assert mean_residual(quantizer, vectors, codes, np.arange(3)) == pytest.approx((1 + 0 + 4) / 3)
    assert mean_residual(quantizer, vectors, codes, np.array([1])) == 0


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 60), st.floats(0, 4))
def test_moves_are_bounded_ordered_by_id_and_leave_the_prefix(seed: int, n: int, limit: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 3)).astype(np.float32)
    quantizer = ResidualKMeans(np.zeros(3, np.float32), tuple(rng.standard_normal((k, 3)).astype(np.float32) for k in (2, 6)))
    ids = [f"{i:02}" for i in rng.permutation(n)]
    late = rng.random(n) < 0.3
    encoded = quantizer.encode(vectors)
    found = move_collisions(quantizer, vectors, encoded, ids, limit, late)
    assert np.array_equal(found[:, 0], encoded[:, 0])
    assert len(np.unique(found, axis=0)) >= len(np.unique(encoded, axis=0))
    away = quantizer.distances(vectors, encoded[:, :1])
    rows = np.arange(n)
    assert (away[rows, found[:, 1]] - away[rows, encoded[:, 1]] <= limit + 1e-5).all()
    order = rng.permutation(n)
    again = move_collisions(quantizer, vectors[order], encoded[order], [ids[i] for i in order], limit, late[order])
    assert np.array_equal(again, found[order]), "row order must not matter"
    alone = move_collisions(quantizer, vectors[~late], encoded[~late], [ids[i] for i in np.flatnonzero(~late)], limit)
    assert np.array_equal(alone, found[~late]), "late items must move nobody"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**31 - 1)), min_size=1))
def test_group_ids_are_those_of_distinct_rows(rows: list[tuple[int, int, int]]) -> None:
    codes = np.array(rows, np.int32)
    _, expected = np.unique(codes, axis=0, return_inverse=True)
    assert np.array_equal(group_ids(codes), expected.ravel())
