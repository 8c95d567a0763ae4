"""Every figure of health.json against a case that a person can count."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sidrec.quantize.agreement import neighbour_overlap, purity
from sidrec.quantize.health import duplicates, health
from sidrec.quantize.neighbours import exact_neighbours, nearest_neighbours
from sidrec.quantize.prefixes import group_sizes, prefix_groups, uniqueness
from sidrec.quantize.residual_kmeans import ResidualKMeans
from sidrec.types import ItemCodes
from tests.quantize.shop import make_shop


def codes(*rows: tuple[int, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.int32)


def line(*centres: list[float]) -> ResidualKMeans:
    """A codebook in one dimension, mean 0."""
    return ResidualKMeans(np.zeros(1, np.float32), tuple(np.array(level, np.float32)[:, None] for level in centres))


TEXT = np.array([[-1.0], [-1.5], [1.0], [1.0]], np.float32)
"""A splits -1 from +1; B is 0 or -0.5; items 2 and 3 share their code and their vector."""


def test_health_of_a_catalogue_counted_by_hand() -> None:
    made = ItemCodes(codes((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1)), (2, 2, 256))
    histories = [np.array([0, 2], np.int32), np.array([3, 2, 1], np.int32)]
    found = health(
        TEXT, TEXT, line([-1, 1], [0, -0.5]), made, histories, made.learned, ["p0", "p1", "p3", "p2"], ["x", "x", "y", "x"]
    )
    assert found["items"] == 4
    assert found["unique_share"] == 2 / 4
    assert found["distinct_share"] == 3 / 4
    assert (found["largest_group"], found["tied_items"], found["tie_codes"]) == (2, 2, 256)
    assert found["tied_purchases_share"] == 3 / 5
    assert (found["duplicate_vectors"], found["duplicate_items"]) == (1, 2)
    assert found["duplicate_examples"] == [["p2", "p3"]]
    assert found["unique_share_where_text_differs"] == 1
    assert found["moved_items"] == 0 and "collisions" not in found
    mean = -0.5 / 4
    assert found["spread"] == round(float(((TEXT - mean) ** 2).mean()), 6)
    a, b, ties = found["levels"]
    # identical vectors count once: A has three to part (2 and 1 in its codes: 3 / 2^(2/3) = 1.89), B the two of code 0
    assert a == {
        "level": "A",
        "size": 2,
        "used": 2,
        "perplexity": 2.0,
        "residual": 0.25 / 4,
        "open": 3,
        "open_perplexity": 1.89,
    }
    assert b == {
        "level": "B",
        "size": 2,
        "used": 2,
        "perplexity": round(4 / 3**0.75, 3),
        "residual": 0.0,
        "open": 2,
        "open_perplexity": 2.0,
    }
    assert ties == {"level": "C", "size": 256, "used": 2, "perplexity": round(4 / 3**0.75, 3)}
    for prefix in found["prefixes"]:
        assert prefix.pop("chance") >= 0.75
    assert found["prefixes"] == [
        {"prefix": "A", "in_use": 2, "largest": 2, "purity": 0.75},
        {"prefix": "AB", "in_use": 3, "largest": 2, "purity": 0.75},
    ]
    assert found["group_sizes"] == [
        {"items_a_code": "1", "codes": 2, "items": 2},
        {"items_a_code": "2", "codes": 1, "items": 2},
    ]
    assert json.loads(json.dumps(found)) == found


def test_without_and_with_moving_side_by_side() -> None:
    """Item 3 is moved from the code of item 2, at an error of 0.5 squared."""
    encoded = codes((0, 0), (0, 1), (1, 0), (1, 0))
    made = ItemCodes(codes((0, 0), (0, 1), (1, 0), (1, 1)), (2, 2), tie_level=False)
    found = health(TEXT, TEXT, line([-1, 1], [0, -0.5]), made, [np.array([3], np.int32)], encoded)
    assert found["moved_items"] == 1 and found["tie_codes"] == 0
    without, with_moving = found["collisions"]
    assert without == {
        "moving": "without",
        "unique_share": 0.5,
        "distinct_share": 0.75,
        "largest_group": 2,
        "tied_items": 2,
        "tied_purchases_share": 1.0,
        "residual": 0.0,
    }
    assert with_moving == {
        "moving": "with",
        "unique_share": 1.0,
        "distinct_share": 1.0,
        "largest_group": 1,
        "tied_items": 0,
        "tied_purchases_share": 0.0,
        "residual": 0.25 / 4,
    }
    assert [level["level"] for level in found["levels"]] == ["A", "B"]


def test_the_levels_of_any_quantizer_are_measured_by_what_prefixes_decode_to() -> None:
    class Doubling:
        """No residual codebook: a prefix decodes to the sum of its codes, once doubled a level."""

        sizes, width = (4, 4), 1

        def decode(self, rows: np.ndarray) -> np.ndarray:
            return np.asarray(rows.sum(axis=1, keepdims=True) * 2.0 ** (rows.shape[1] - 1), dtype=np.float32)

    made = ItemCodes(codes((1, 0), (2, 1)), (4, 4), tie_level=False)
    vectors = np.array([[2], [5]], np.float32)
    found = health(vectors, vectors, Doubling(), made, [])  # type: ignore[arg-type]
    # after A: (2 - 1)^2, (5 - 2)^2; after AB: (2 - 2)^2, (5 - 6)^2
    assert [level["residual"] for level in found["levels"]] == [5.0, 0.5]
    assert found["neighbours"] == {} and found["tied_purchases_share"] == 0


def test_groups_of_prefixes_do_not_overflow() -> None:
    rows = codes(*[(i % 2, 2**30 + i % 3, 2**31 - 1 - i % 5, i % 7) for i in range(420)])
    assert [int(groups.max()) + 1 for groups in prefix_groups(rows)] == [2, 6, 30, 210]
    for depth, groups in enumerate(prefix_groups(rows), 1):
        expected = np.unique(rows[:, :depth], axis=0, return_inverse=True)[1].ravel()
        assert np.array_equal(groups, expected)


def test_sizes_of_groups_are_counted_in_classes() -> None:
    rows = np.repeat(np.arange(5), [1, 1, 2, 4, 150])[:, None].astype(np.int32)
    assert group_sizes(rows) == [
        {"items_a_code": "1", "codes": 2, "items": 2},
        {"items_a_code": "2", "codes": 1, "items": 2},
        {"items_a_code": "3 to 5", "codes": 1, "items": 4},
        {"items_a_code": "101 or more", "codes": 1, "items": 150},
    ]
    assert uniqueness(rows, [])["largest_group"] == 150


def test_overlap_counted_by_hand() -> None:
    """Six points on a line, codes that round them to 0, 10 and 20: of each point's five nearest, all five are found."""
    points = np.array([[0.0], [1], [10], [11], [20], [22]], np.float32)
    quantizer, learned = line([0, 10, 20]), codes((0,), (0,), (1,), (1,), (2,), (2,))
    assert neighbour_overlap(points, points, quantizer, learned, 0) == {"queries": 6, "overlap@5": 1.0, "chance@5": 1.0}


def test_overlap_is_what_a_search_of_every_pair_finds() -> None:
    """Every item its own code, moved a little: no ties, so the answer does not depend on the seed."""
    rng = np.random.default_rng(0)
    given = rng.standard_normal((60, 4)).astype(np.float32)
    decoded = (given + 0.5 * rng.standard_normal((60, 4))).astype(np.float32)
    text = rng.standard_normal((60, 3)).astype(np.float32)
    learned = np.arange(60, dtype=np.int32)[:, None]

    def neighbours(rows: np.ndarray, k: int) -> list[set[int]]:
        apart = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
        np.fill_diagonal(apart, np.inf)
        return [set(row[:k]) for row in np.argsort(apart, axis=1).tolist()]

    def expected(rows: np.ndarray, k: int) -> float:
        pairs = zip(neighbours(rows, k), neighbours(decoded, k), strict=True)
        return round(sum(len(a & b) for a, b in pairs) / (60 * k), 6)

    quantizer = ResidualKMeans(np.zeros(4, np.float32), (decoded,))
    found = neighbour_overlap(text, given, quantizer, learned, 3)
    assert found == {
        "queries": 60,
        "overlap@5": expected(given, 5),
        "overlap@10": expected(given, 10),
        "text_overlap@5": expected(text, 5),
        "text_overlap@10": expected(text, 10),
        "chance@5": round(5 / 59, 6),
        "chance@10": round(10 / 59, 6),
    }


def test_one_code_for_all_is_no_better_than_chance_whatever_the_order_of_rows() -> None:
    """Neighbouring rows are alike, as in many exports: ties broken by row number would flatter the codes."""
    points = np.arange(3000, dtype=np.float32)[:, None]
    found = neighbour_overlap(points, points, line([1500.0]), np.zeros((3000, 1), np.int32), 0)
    assert found["queries"] == 2000
    assert found["overlap@10"] < 5 * found["chance@10"] < 0.02


def test_overlap_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = make_shop()[0].vectors
    quantizer = ResidualKMeans(np.zeros(24, np.float32), (vectors + 0.1,))
    learned = np.arange(96, dtype=np.int32)[:, None]
    whole = neighbour_overlap(vectors, vectors, quantizer, learned, 0)
    monkeypatch.setattr("sidrec.quantize.agreement._CELLS", 700)
    assert neighbour_overlap(vectors, vectors, quantizer, learned, 0) == whole


def test_exact_neighbours_from_blocks_are_those_of_the_whole() -> None:
    vectors = make_shop()[0].vectors
    own = np.arange(96)
    parts = [(own[start : start + 20], vectors[start : start + 20]) for start in range(0, 96, 20)]
    assert np.array_equal(exact_neighbours(vectors, parts, own, 7), nearest_neighbours(vectors, vectors, own, 7, 0))


def test_purity_counted_by_hand_and_by_chance() -> None:
    """A: {x, x, y} and {y, z}, so 2 + 1 of 5; one item has no category. AB: {x, x}, {y}, {y}, {z}: all pure."""
    learned = codes((0, 0), (0, 0), (0, 1), (1, 0), (1, 1), (0, 0))
    first, second = purity(learned, ["x", "x", "y", "y", "z", ""], seed=0)
    assert (first["purity"], second["purity"]) == (3 / 5, 1.0)
    assert 3 / 5 <= second["chance"] <= 1
    assert purity(learned, ["x"] * 6, seed=0) == [] == purity(learned, [""] * 6, seed=0)


def test_codes_given_out_blindly_are_as_pure_as_chance() -> None:
    rng = np.random.default_rng(0)
    learned = rng.integers(0, 16, (4000, 3)).astype(np.int32)
    categories = [f"kind {k}" for k in rng.integers(0, 12, 4000)]
    for row in purity(learned, categories, seed=0):
        assert row["purity"] == pytest.approx(row["chance"], abs=0.02)
    by_kind = np.array([[int(name.split()[1])] for name in categories], np.int32)
    assert purity(by_kind, categories, seed=0)[0]["purity"] == 1


def test_duplicates_are_named_the_largest_group_first() -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), [2, 1, 6], axis=0)
    twins, examples = duplicates(rows, list("ihgfedcba"))
    assert twins.tolist() == [True, True, False] + [True] * 6
    assert examples == [["a", "b", "c", "d"], ["h", "i"]]
