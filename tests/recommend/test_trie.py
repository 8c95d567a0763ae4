"""The trie's arrays against the codes themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.recommend import Trie
from tests.recommend.helpers import catalogue


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[NDArray[np.int32], tuple[int, ...]]:
    """Codes of up to 30 items, in half of the cases with semantic IDs that several items share."""
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)))
    places, seed = int(np.prod(sizes)), draw(st.integers(0, 99))
    if draw(st.booleans()):
        n = draw(st.integers(0, 30))
        chosen = np.random.default_rng(seed).integers(0, places, n)
        return np.stack(np.unravel_index(chosen, sizes), axis=1).astype(np.int32), sizes
    return catalogue(seed, sizes, draw(st.integers(0, min(30, places)))).codes, sizes


def paths(trie: Trie) -> list[tuple[int, ...]]:
    """The codes of every item, by walking down from the root."""
    found: list[tuple[int, ...]] = []

    def walk(depth: int, node: int, before: tuple[int, ...]) -> None:
        if depth == trie.depth:
            found.append(before)
            return
        for child in range(trie.children[depth][node], trie.children[depth][node + 1]):
            walk(depth + 1, child, (*before, int(trie.codes[depth][child])) if depth < trie.levels else before)

    walk(0, 0, ())
    return found


@given(catalogues())
def test_walking_down_spells_the_codes_of_each_item_in_order(case: tuple[NDArray[np.int32], tuple[int, ...]]) -> None:
    codes, sizes = case
    trie = Trie.build(codes, sizes)
    assert paths(trie) == sorted(map(tuple, codes.tolist()))
    assert paths(trie) == [tuple(row) for row in codes[trie.items].tolist()]
    assert trie.position_of_item[trie.items].tolist() == list(range(len(codes)))
    assert trie.depth == trie.levels + (len(np.unique(codes, axis=0)) < len(codes))
    assert trie.width(trie.depth) == len(codes)


@given(catalogues(), st.integers(0, 99))
def test_items_that_share_a_semantic_id_stand_by_popularity_then_index(
    case: tuple[NDArray[np.int32], tuple[int, ...]], seed: int
) -> None:
    codes, sizes = case
    n = len(codes)
    popularity = np.random.default_rng(seed).integers(0, 3, n)
    for trie, wanted in ((Trie.build(codes, sizes), np.zeros(n)), (Trie.build(codes, sizes, popularity), popularity)):
        expected = sorted(range(n), key=lambda i: (codes[i].tolist(), -wanted[i], i))
        assert trie.items.tolist() == expected
        by_rank = trie.items[np.argsort(trie.ranks)].tolist()
        assert by_rank == sorted(range(n), key=lambda i: (-wanted[i], i))


@given(catalogues(), st.integers(0, 99))
def test_prefix_sums_count_the_eligible_items_below_every_node(
    case: tuple[NDArray[np.int32], tuple[int, ...]], seed: int
) -> None:
    codes, sizes = case
    trie = Trie.build(codes, sizes)
    eligible = np.random.default_rng(seed).random(len(codes)) < 0.5
    sums = trie.alive(eligible)
    for depth in range(1 if len(codes) else 99, trie.levels + 1):
        prefixes = sorted({tuple(row) for row in codes[:, :depth].tolist()})
        low, high = trie.leaf_range(depth, np.arange(trie.width(depth)))
        expected = [int(eligible[(codes[:, :depth] == prefix).all(axis=1)].sum()) for prefix in prefixes]
        assert (sums[high] - sums[low]).tolist() == expected
        assert trie.nodes_above(depth, np.arange(len(codes))).tolist() == [
            prefixes.index(tuple(row)) for row in codes[trie.items][:, :depth].tolist()
        ]


@pytest.mark.parametrize("sizes", [(300, 40_000), (2**20,) * 4])
def test_large_levels_keep_their_codes(sizes: Sequence[int]) -> None:
    # the second does not fit one integer key and is sorted level by level
    rng = np.random.default_rng(0)
    codes = np.unique(np.stack([rng.integers(0, size, 500) for size in sizes], axis=1), axis=0).astype(np.int32)
    codes = codes[rng.permutation(len(codes))]
    assert paths(Trie.build(codes, sizes)) == sorted(map(tuple, codes.tolist()))


def test_arrays_cannot_be_written() -> None:
    trie = Trie.build(catalogue(0, (4, 4), 6).codes, (4, 4))
    with pytest.raises(ValueError, match="read-only"):
        trie.items[0] = 1


@pytest.mark.parametrize(
    ("codes", "sizes", "says"),
    [
        ([[0, 2]], (2, 2), "outside their level sizes"),
        ([[0, -1]], (2, 2), "outside their level sizes"),
        ([[0, 1]], (2, 2, 2), "needs codes of shape N x 3"),
    ],
)
def test_codes_that_are_no_catalogue_are_refused(codes: list[list[int]], sizes: tuple[int, ...], says: str) -> None:
    with pytest.raises(DataError, match=says):
        Trie.build(np.asarray(codes, dtype=np.int32), sizes)


def test_a_mask_of_another_catalogue_is_refused() -> None:
    trie = Trie.build(catalogue(0, (4, 4), 6).codes, (4, 4))
    with pytest.raises(DataError, match="must hold 6 booleans"):
        trie.alive(np.ones(7, dtype=np.bool_))
    with pytest.raises(DataError, match="must hold 6 booleans"):
        trie.alive(np.ones(6, dtype=np.int64))  # type: ignore[arg-type]


def test_popularity_of_another_catalogue_is_refused() -> None:
    codes = catalogue(0, (4, 4), 6).codes
    for wrong in (np.ones(5), np.full(6, np.nan)):
        with pytest.raises(DataError, match="one finite number for each of 6 items"):
            Trie.build(codes, (4, 4), wrong)


def test_a_million_items_take_at_most_12_mb_and_a_third_of_a_second() -> None:
    n = 1_000_000
    codes = catalogue(0, (256, 256, 256), n).codes
    codes = np.column_stack((codes, np.zeros(n, dtype=np.int32)))
    seconds = []
    for _ in range(3):
        began = time.process_time()
        trie = Trie.build(codes, (256,) * 4)
        seconds.append(time.process_time() - began)
    assert trie.nbytes <= 12_000_000
    assert min(seconds) <= 0.3


@pytest.mark.slow
def test_ten_million_items_take_at_most_four_seconds() -> None:
    codes = catalogue(0, (256, 256, 256), 10_000_000).codes
    codes = np.column_stack((codes, np.zeros(len(codes), dtype=np.int32)))
    began = time.process_time()
    trie = Trie.build(codes, (256,) * 4)
    assert time.process_time() - began <= 4.0
    assert trie.nbytes <= 110_000_000
