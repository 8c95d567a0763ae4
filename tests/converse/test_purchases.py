"""Flat histories against hand-made ones, and the windows of long histories."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.converse.purchases import NONE, Purchases, window_starts
from tests.converse.shops import rich_shop, with_histories

# user 0 has the split of leave-last-out, user 1 nothing to learn, user 2 nothing held out, user 3 two test purchases
HISTORIES = [[5, 6, 5, 7, 8], [1, 2], [3, 4], [9, 10, 11, 12]]
TRAIN_END, VALID_END = [3, 0, 2, 1], [4, 1, 2, 2]


def purchases(part: str) -> Purchases:
    return Purchases.of(with_histories(rich_shop(), HISTORIES, TRAIN_END, VALID_END).histories, part)  # type: ignore[arg-type]


def test_training_holds_training_purchases_only() -> None:
    train = purchases("train")
    assert train.items.tolist() == [5, 6, 5, 3, 4, 9]
    assert train.places.tolist() == [0, 1, 2, 0, 1, 0]
    assert train.targets.tolist() == [1, 2, 4]


def test_held_out_parts_end_at_their_first_purchase() -> None:
    assert purchases("valid").sequences(3).tolist() == [[5, 6, 5, 7], [NONE, NONE, 9, 10]]
    # user 1 had one validation purchase before the test; of user 3's two test purchases only the first is asked for
    assert purchases("test").sequences(3).tolist() == [[6, 5, 7, 8], [NONE, NONE, 1, 2], [NONE, 9, 10, 11]]


def test_sequences_have_one_row_for_every_split_point() -> None:
    assert purchases("train").sequences(2).tolist() == [[NONE, 5, 6], [5, 6, 5], [NONE, 3, 4]]


def test_pairs_are_near_and_of_two_items() -> None:
    train = purchases("train")
    assert train.pairs(1).tolist() == [[5, 6], [6, 5], [3, 4]]
    assert train.pairs(4).tolist() == [[5, 6], [6, 5], [3, 4]]  # 5 ... 5 is the same item bought again
    far = Purchases.of(with_histories(rich_shop(), [[0, 1, 2, 3]], [4], [4]).histories, "train")
    assert far.pairs(2).tolist() == [[0, 1], [1, 2], [0, 2], [2, 3], [1, 3]]


def test_baskets_are_three_different_purchases_and_more() -> None:
    assert purchases("train").baskets(4).tolist() == []
    longer = Purchases.of(with_histories(rich_shop(), [[0, 1, 2, 3, 2]], [5], [5]).histories, "train")
    assert longer.baskets(4).tolist() == [[NONE, 0, 1, 2], [0, 1, 2, 3]]
    assert longer.baskets(3).tolist() == [[0, 1, 2], [1, 2, 3]]
    assert longer.baskets(2).tolist() == []


def test_windows_of_each_part() -> None:
    assert purchases("train").windows(3).tolist() == [[5, 6, 5, NONE], [3, 4, NONE, NONE]]
    assert purchases("train").windows(1).tolist() == [[5, 6], [6, 5], [3, 4]]
    assert purchases("valid").windows(2).tolist() == [[6, 5, 7], [9, 10, NONE]]


@pytest.mark.parametrize("part", ["train", "valid", "test"])
def test_no_users_at_all(part: str) -> None:
    none = Purchases.of(with_histories(rich_shop(), [], [], []).histories, part)  # type: ignore[arg-type]
    assert none.sequences(2).shape == (0, 3)
    assert none.pairs(4).shape == (0, 2)
    assert none.windows(5).shape == (0, 6)
    assert none.baskets(4).shape == (0, 4)


@given(length=st.integers(1, 300), shown=st.integers(1, 40))
def test_windows_predict_every_purchase_with_much_history(length: int, shown: int) -> None:
    starts, width, stride = window_starts(length, shown), shown + 1, max(1, shown // 2)
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert starts[-1] + width == length or (starts == [0] and length <= width)
    for place in range(1, length):
        histories = [place - start for start in starts if start <= place < start + width]
        assert max(histories) >= min(place, width - stride)
    assert len(starts) == 1 + max(0, -(-(length - width) // stride))


@given(st.lists(st.lists(st.integers(0, 39), min_size=1, max_size=30), min_size=1, max_size=6), st.integers(1, 8))
def test_windows_are_pieces_of_histories(histories: list[list[int]], shown: int) -> None:
    ends = [len(row) for row in histories]
    rows = Purchases.of(with_histories(rich_shop(), histories, ends, ends).histories, "train").windows(shown)
    found = [[i for i in row if i != NONE] for row in rows.tolist()]
    expected = [
        row[start : start + shown + 1] for row in histories if len(row) >= 2 for start in window_starts(len(row), shown)
    ]
    assert found == expected
    assert rows.dtype == np.int32
