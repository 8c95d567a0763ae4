"""The k-core is the largest set of purchases that satisfies both counts."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sidrec.ingest.core import BY_ITEM, BY_USER, Core, k_core

Pairs = list[tuple[int, int]]
N_USERS, N_ITEMS = 4, 4


def core_of(pairs: Pairs, user_core: int, item_core: int) -> Core:
    user, item = (np.asarray([pair[side] for pair in pairs], dtype=np.int32) for side in (0, 1))
    alive = [np.ones(n, dtype=np.bool_) for n in (len(pairs), N_USERS, N_ITEMS)]
    return k_core(user, item, *alive, user_core, item_core)


def is_core(pairs: Pairs, user_core: int, item_core: int) -> bool:
    users, items = [u for u, _ in pairs], [i for _, i in pairs]
    return all(users.count(u) >= user_core for u in users) and all(items.count(i) >= item_core for i in items)


def largest_core(pairs: Pairs, user_core: int, item_core: int) -> set[int]:
    """By trying all subsets; the union of all that satisfy the counts satisfies them too."""
    rows = range(len(pairs))
    subsets = chain.from_iterable(combinations(rows, n) for n in range(len(pairs) + 1))
    return set().union(*(s for s in subsets if is_core([pairs[r] for r in s], user_core, item_core)))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)), max_size=9),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_it_is_the_largest_one(pairs: Pairs, user_core: int, item_core: int) -> None:
    core = core_of(pairs, user_core, item_core)
    kept = set(np.flatnonzero(core.removed_by == 0).tolist())
    assert kept == largest_core(pairs, user_core, item_core)
    assert set(np.flatnonzero(core.users)) == {pairs[row][0] for row in kept}
    if item_core:
        assert set(np.flatnonzero(core.items)) == {pairs[row][1] for row in kept}
    else:
        assert core.items.all()


def test_one_removal_causes_the_next_and_each_has_its_reason() -> None:
    # User 2 has one purchase; without it item 1 has one; without that user 1 has one.
    pairs = [(0, 0), (0, 2), (1, 0), (1, 1), (2, 1), (3, 0), (3, 2)]
    core = core_of(pairs, 2, 2)
    assert core.removed_by.tolist() == [0, 0, BY_USER, BY_ITEM, BY_USER, 0, 0]
    assert core.left[[2, 3, 4]].tolist() == [1, 1, 1]
    assert core.users.tolist() == [True, False, False, True]
    assert core.items.tolist() == [True, False, True, False]
    assert core.item_left.tolist() == [0, 1, 0, 0]


def test_what_is_not_in_question_is_not_counted() -> None:
    user, item = np.asarray([0, 0, 1, 1], dtype=np.int32), np.asarray([0, 1, 0, 1], dtype=np.int32)
    alive = np.asarray([True, True, True, False])
    core = k_core(user, item, alive, np.ones(2, dtype=np.bool_), np.ones(2, dtype=np.bool_), 2, 0)
    assert core.removed_by.tolist() == [0, 0, BY_USER, 0]
    assert core.users.tolist() == [True, False]
