from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.errors import DataError
from sidrec.quantize import break_ties


def test_counts_in_order_of_item_id() -> None:
    learned = np.array([[1, 2], [0, 0], [1, 2], [1, 2]], np.int32)
    codes, size = break_ties(learned, ["b", "x", "c", "a"], tie_codes=256)
    assert codes.tolist() == [[1, 2, 1], [0, 0, 0], [1, 2, 2], [1, 2, 0]]
    assert (codes.dtype, size) == (np.int32, 256)


def test_order_is_that_of_strings() -> None:
    codes, _ = break_ties(np.zeros((4, 1), np.int32), ["9", "10", "é", "Z"], tie_codes=4)
    assert codes[:, 1].tolist() == [1, 0, 3, 2]  # "10" < "9" < "Z" < "é"


def test_a_group_larger_than_the_level_is_never_silent(capfd: pytest.CaptureFixture[str]) -> None:
    learned, ids = np.repeat([[7, 7, 7]], 301, axis=0).astype(np.int32), [f"{i:04}" for i in range(301)]
    learned[0] = 0
    codes, size = break_ties(learned, ids, tie_codes=256)
    assert size == 375  # a quarter more than the group, for items that come later
    assert codes[1:, 3].tolist() == list(range(300))
    said = " ".join(capfd.readouterr().err.split())
    assert "300 items share the learned codes [7, 7, 7] (item '0001' is one of them), but quantize.tie_codes is 256" in said
    assert "the tie level grows to 375 codes" in said
    with pytest.raises(DataError, match=r"300 items share .* quantize.tie_overflow is 'refuse': give these items text"):
        break_ties(learned, ids, tie_codes=256, overflow="refuse")
    assert break_ties(learned, ids, tie_codes=300, overflow="refuse")[1] == 300
    assert capfd.readouterr().err == ""


def test_late_items_stand_behind_and_move_nobody() -> None:
    learned = np.zeros((3, 1), np.int32)
    late = np.array([True, False, False])
    assert break_ties(learned, ["a", "b", "c"], 4, late)[0][:, 1].tolist() == [2, 0, 1]


def test_an_id_that_stands_twice_is_named() -> None:
    with pytest.raises(DataError, match=r"'x' stands twice \(again in row 2\)"):
        break_ties(np.zeros((3, 1), np.int32), ["x", "y", "x"], 4)


@given(
    st.lists(st.tuples(st.text(max_size=3), st.integers(0, 2), st.integers(0, 1)), unique_by=lambda row: row[0]), st.randoms()
)
def test_unique_rows_whatever_the_row_order(rows: list[tuple[str, int, int]], random: np.random.Generator) -> None:
    ids, learned = [row[0] for row in rows], np.array([row[1:] for row in rows], np.int32).reshape(-1, 2)
    codes, size = break_ties(learned, ids, tie_codes=2)
    assert len({tuple(code) for code in codes.tolist()}) == len(rows)
    assert not len(rows) or codes[:, 2].max() < size
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled, _ = break_ties(learned[order], [ids[i] for i in order], tie_codes=2)
    assert np.array_equal(shuffled, codes[order])


@pytest.mark.slow
def test_a_million_rows() -> None:
    rng = np.random.default_rng(0)
    learned = rng.integers(0, 80, (1_000_000, 3), dtype=np.int32)
    ids = [f"B{i:09}" for i in rng.permutation(1_000_000)]
    began = time.process_time()
    codes, _ = break_ties(learned, ids, 256)
    assert time.process_time() - began < 3
    assert codes[:, 3].max() >= 1
