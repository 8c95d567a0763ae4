"""Histories cut in two ways."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidrec import columns as c
from sidrec.errors import DataError
from sidrec.ingest.raw import TIME
from sidrec.ingest.split import split, times_are_positions

Histories = dict[str, list[int]]


def log_of(times: Histories) -> pl.DataFrame:
    """User -> times; the items are 0, 1, 2... of each user."""
    rows = [(user, i, t) for user in sorted(times) for i, t in enumerate(sorted(times[user]))]
    return pl.DataFrame(rows, schema={c.USER_ID: pl.String, c.ITEM_INDEX: pl.Int32, TIME: pl.Int64}, orient="row")


def parts(histories: pl.DataFrame) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """User -> times in training, validation and test."""
    return {user: (times[:a], times[a:b], times[b:]) for user, _, times, a, b in histories.rows()}


def test_leave_last_out_keeps_two_purchases_of_those_who_have_three() -> None:
    found = parts(split(log_of({"anna": [1, 2, 3, 4], "ben": [5, 6, 7], "cleo": [8, 9], "dan": [10]}), "leave-last-out", 0, 0))
    assert found == {
        "anna": ([1, 2], [3], [4]),
        "ben": ([5], [6], [7]),
        "cleo": ([8, 9], [], []),
        "dan": ([10], [], []),
    }


def test_global_time_cuts_all_users_at_the_same_points() -> None:
    # Ten purchases at 0..9: with shares of 0.2 each the points are 6 and 8.
    found = parts(split(log_of({"anna": [0, 1, 7, 9], "ben": [2, 3, 4, 5, 6], "cleo": [8]}), "global-time", 0.2, 0.2))
    assert found == {
        "anna": ([0, 1], [7], [9]),
        "ben": ([2, 3, 4, 5], [6], []),
        "cleo": ([], [], [8]),
    }


def test_a_share_of_nothing_leaves_its_part_empty() -> None:
    times = {"anna": list(range(10))}
    assert parts(split(log_of(times), "global-time", 0.0, 0.2))["anna"] == (list(range(8)), [], [8, 9])
    assert parts(split(log_of(times), "global-time", 0.2, 0.0))["anna"] == (list(range(8)), [8, 9], [])
    assert parts(split(log_of(times), "global-time", 0.0, 0.0))["anna"] == (list(range(10)), [], [])


def test_times_that_are_all_one_cannot_be_cut() -> None:
    with pytest.raises(DataError, match=r"no purchase is earlier.*1 different times.*use 'leave-last-out'"):
        split(log_of({"anna": [5, 5, 5]}), "global-time", 0.1, 0.1)


times = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.lists(st.integers(0, 50), min_size=1, max_size=8), min_size=1
)


@settings(deadline=None)
@given(times, st.sampled_from(["leave-last-out", "global-time"]), st.floats(0, 0.4), st.floats(0, 0.4))
def test_parts_do_not_overlap_and_keep_the_order(times: Histories, method: str, valid: float, test: float) -> None:
    try:
        histories = split(log_of(times), method, valid, test)
    except DataError:
        assert method == "global-time"
        return
    for user, (train, validation, tested) in parts(histories).items():
        assert train + validation + tested == sorted(times[user])
        if method == "leave-last-out":
            assert (len(validation), len(tested)) == ((1, 1) if len(times[user]) >= 3 else (0, 0))
    assert histories.select(pl.col(c.TRAIN_END, c.VALID_END) >= 0).to_numpy().all()
    if method == "global-time":
        found = parts(histories).values()
        last = max((t for train, _, _ in found for t in train), default=-1)
        assert all(t > last for _, validation, tested in found for t in [*validation, *tested])


@pytest.mark.parametrize(
    ("times", "positions"),
    [
        ({"anna": [0, 1, 2], "ben": [0, 1]}, True),
        ({"anna": [1, 2, 3], "ben": [1]}, True),
        ({"anna": [0, 1, 2], "ben": [7, 9]}, False),
        ({"anna": [1_600_000_000, 1_600_000_001]}, False),
        ({"anna": [0, 5, 9]}, False),
    ],
)
def test_times_that_only_count(times: Histories, positions: bool) -> None:
    assert times_are_positions(log_of(times)) == positions


def test_a_few_dirty_rows_do_not_hide_it() -> None:
    log = log_of({f"u{i}": list(range(i % 5 + 1)) for i in range(99)} | {"odd": [0, 7]})
    assert times_are_positions(log)
    assert not times_are_positions(log.clear())


def test_lengths_of_the_result() -> None:
    histories = split(log_of({"b": [1, 2, 3], "a": [1]}), "leave-last-out", 0, 0)
    assert histories[c.USER_ID].to_list() == ["a", "b"]
    assert histories[c.TRAIN_END].dtype == pl.Int32
    assert np.asarray(histories[c.ITEMS].list.len()).tolist() == [1, 3]
