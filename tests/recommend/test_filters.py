"""Mask and exclusions as one count, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.recommend import Alive, Trie
from sidrec.recommend.filters import MaskCounts
from sidrec.types import Request
from tests.recommend.helpers import catalogue


@given(st.integers(0, 10_000), st.booleans())
def test_the_joint_count_of_every_node_equals_counting_items(seed: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(1, 5, rng.integers(1, 5)).tolist())
    n = int(rng.integers(1, min(25, np.prod(sizes)) + 1))
    codes = catalogue(seed, sizes, n).codes
    trie = Trie.build(codes, sizes)
    eligible = rng.random(n) < 0.6 if masked else np.ones(n, dtype=np.bool_)
    exclude = [rng.integers(0, n, rng.integers(0, 2 * n)).tolist() for _ in range(3)]  # unsorted, repeated
    alive = Alive.of(trie, [Request((), row, eligible if masked else None) for row in exclude])
    allowed = [eligible & ~np.isin(np.arange(n), row) for row in exclude]
    assert alive.totals().tolist() == [int(row.sum()) for row in allowed]
    for depth in range(trie.levels + 1):
        nodes = np.arange(trie.width(depth))
        above = trie.nodes_above(depth, trie.position_of_item)
        empty = []
        for request in range(3):
            expected = np.bincount(above[allowed[request]], minlength=len(nodes))
            assert alive.counts(depth, np.full_like(nodes, request), nodes).tolist() == expected.tolist()
            by_mask = np.bincount(above[eligible], minlength=len(nodes))
            empty += (request * len(nodes) + np.flatnonzero((expected == 0) & (by_mask > 0))).tolist()
        assert alive.emptied(depth).tolist() == empty


def test_two_filters_that_pass_apart_and_fail_together() -> None:
    # items 0 and 1 under one A code: the mask leaves 0, the exclusion leaves 1, so nothing is left below it
    trie = Trie.build(np.asarray([[0, 0], [0, 1], [1, 0]], dtype=np.int32), (2, 2))
    alive = Alive.of(trie, [Request((), [0], np.asarray([True, False, True]))])
    assert alive.counts(1, np.zeros(2, dtype=np.int64), np.arange(2)).tolist() == [0, 1]
    assert alive.emptied(1).tolist() == [0]


@pytest.mark.parametrize("item", [-1, 3])
def test_an_unknown_item_is_named(item: int) -> None:
    trie = Trie.build(np.asarray([[0, 0], [0, 1], [1, 0]], dtype=np.int32), (2, 2))
    with pytest.raises(DataError, match=f"request 1 excludes item {item}, .* 3 items"):
        Alive.of(trie, [Request((), [0]), Request((), [2, item])])


def test_a_mask_is_counted_once_only_while_nobody_can_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trie = Trie.build(np.asarray([[0, 0], [0, 1], [1, 0]], dtype=np.int32), (2, 2))
    counted: list[int] = []
    alive = Trie.alive

    def counting(self: Trie, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
        counted.append(1)
        return alive(self, mask)

    monkeypatch.setattr(Trie, "alive", counting)
    counts = MaskCounts(trie, most=1)
    open_, frozen = np.asarray([True, False, True]), np.asarray([True, False, True])
    frozen.setflags(write=False)
    view = open_[:]
    view.setflags(write=False)
    for mask, times in ((open_, 2), (view, 2), (frozen, 1)):
        counted.clear()
        assert [counts.of(mask).tolist() for _ in range(2)] == [[0, 1, 1, 2]] * 2
        assert len(counted) == times
    open_[1] = True  # and the view of it
    assert counts.of(open_).tolist() == counts.of(view).tolist() == [0, 1, 2, 3]
    other = np.zeros(3, dtype=np.bool_)
    other.setflags(write=False)
    counts.of(other)  # there is room for one: the first is counted again
    counted.clear()
    counts.of(frozen)
    assert counted
    both = Alive.of(trie, [Request((), (), frozen), Request((), [0]), Request((), [0], frozen)], counts)
    assert len(both.sums) == 2  # the two requests with one mask share a count
    assert both.totals().tolist() == [2, 2, 1]
