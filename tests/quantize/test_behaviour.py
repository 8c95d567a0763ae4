from __future__ import annotations

import numpy as np
import pytest

from sidrec.quantize import behaviour_vectors
from sidrec.quantize.behaviour import count_together
from sidrec.quantize.neighbours import nearest_neighbours
from tests.quantize.shop import make_shop


def history(*items: int) -> np.ndarray:
    return np.array(items, dtype=np.int32)


def test_two_purchases_count_one_over_their_distance() -> None:
    together = count_together([history(0, 1, 2), history(1, 0), history(3, 3)], 4).toarray()
    # 0-1 stand side by side twice, 0-2 two apart once, 1-2 once; 3 was only bought again
    assert together.tolist() == [[0, 2, 0.5, 0], [2, 0, 1, 0], [0.5, 1, 0, 0], [0, 0, 0, 0]]


def test_no_pair_across_users_or_past_the_window() -> None:
    together = count_together([history(0, 1), history(2, 3)], 4)
    assert together[1, 2] == 0
    far = count_together([history(0, 1, 2, 3, 4, 5)], 6)
    assert far[0, 4] == pytest.approx(1 / 4) and far[0, 5] == 0


def test_items_boughtcount_together_point_the_same_way() -> None:
    """Two camps that no customer mixes, one item that nobody buys, one bought alone."""
    histories = [history(0, 1, 2), history(2, 0, 1), history(3, 4, 5), history(5, 3, 4), history(7)] * 3
    vectors = behaviour_vectors(histories, 8, 4, seed=0)
    assert vectors.shape == (8, 4) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 1, 1, 0, 0], atol=1e-6)
    likeness = vectors @ vectors.T
    assert likeness[:3, 3:6].max() < 0.1
    # Within a camp items are bought beside each other, not beside themselves: compare the mean, not each pair.
    assert likeness[:3, :3].mean() > 0.5 and likeness[3:6, 3:6].mean() > 0.5


def test_nothing_bought_gives_zero_rows() -> None:
    for histories in ([], [history()], [history(1), history(2)]):
        assert not behaviour_vectors(histories, 3, 2, seed=0).any()


def test_same_seed_same_bytes() -> None:
    histories = make_shop()[3]
    first, second = (behaviour_vectors(histories, 96, 16, seed=5) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_neighbours_are_exact_and_leave_out_the_query_itself() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((50, 6)).astype(np.float32)
    own = np.arange(50)
    found = nearest_neighbours(base, base, own, 3, seed=0)
    scores = base @ base.T
    np.fill_diagonal(scores, -np.inf)
    assert np.array_equal(found, np.argsort(-scores, axis=1)[:, :3])
    few = nearest_neighbours(base[:2], base[:2], own[:2], 3, seed=0)
    assert few.tolist() == [[1, -1, -1], [0, -1, -1]]
    assert nearest_neighbours(base, base[:0], np.full(50, -1), 3, seed=0).max() == -1


def test_neighbours_through_cells_find_most_of_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_shop(kinds=40, variants=50)[0].vectors
    own = np.arange(len(base))
    exact = nearest_neighbours(base, base, own, 5, seed=0)
    monkeypatch.setattr("sidrec.quantize.neighbours._EXACT", 100)
    cells = nearest_neighbours(base, base, own, 5, seed=0)
    assert (cells != own[:, None]).all()
    overlap = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(exact.tolist(), cells.tolist(), strict=True)])
    assert overlap > 0.9
