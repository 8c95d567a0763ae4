"""The k-core of a purchase log."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEPT, BY_USER, BY_ITEM = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Core:
    """What the k-core of M purchases of U users and N items keeps.

    ``removed_by`` int8 ``(M,)``: ``KEPT``, ``BY_USER`` or ``BY_ITEM``, the side that fell below its least count (purchases
    that were not in question stay ``KEPT``). ``left`` int32 ``(M,)``: how many purchases that user or item had left then.
    ``users`` bool ``(U,)`` and ``items`` bool ``(N,)``: who is still in. ``user_left`` int32 ``(U,)`` as ``left``.
    """

    removed_by: NDArray[np.int8]
    left: NDArray[np.int32]
    users: NDArray[np.bool_]
    items: NDArray[np.bool_]
    user_left: NDArray[np.int32]
    item_left: NDArray[np.int32]


def k_core(
    user_M: NDArray[np.int32],
    item_M: NDArray[np.int32],
    alive_M: NDArray[np.bool_],
    users_U: NDArray[np.bool_],
    items_N: NDArray[np.bool_],
    user_core: int,
    item_core: int,
) -> Core:
    """The largest set of purchases in which each user has ``user_core`` and each item ``item_core`` of them.

    Users and items that fall short are removed by turns until none does (Batagelj and Zaversnik, "An O(m) algorithm for
    cores decomposition", 2003, show that the order does not matter for what is left). With ``item_core = 0`` no item is
    removed.

    Args:
        user_M, item_M: user and item of each purchase.
        alive_M, users_U, items_N: what is in question; the rest is not counted.

    >>> import numpy as np
    >>> user, item = np.array([0, 0, 1, 1, 2], dtype=np.int32), np.array([0, 1, 0, 1, 0], dtype=np.int32)
    >>> true = lambda n: np.ones(n, dtype=bool)
    >>> k_core(user, item, true(5), true(3), true(2), 2, 2).removed_by.tolist()
    [0, 0, 0, 0, 1]
    """
    removed_by = np.zeros(len(user_M), dtype=np.int8)
    left = np.zeros(len(user_M), dtype=np.int32)
    users, items = users_U.copy(), items_N.copy()
    user_left, item_left = np.zeros(len(users), dtype=np.int32), np.zeros(len(items), dtype=np.int32)
    rows = np.flatnonzero(alive_M)
    sides = (
        (BY_USER, user_M, users, user_left, user_core),
        (BY_ITEM, item_M, items, item_left, item_core),
    )
    settled = 0
    while settled < len(sides):
        for side, of_row, members, members_left, least in sides:
            counts = np.bincount(of_row[rows], minlength=len(members)).astype(np.int32)
            short = members & (counts < least)
            settled = 0 if short.any() else settled + 1
            members[short] = False
            members_left[short] = counts[short]
            gone = short[of_row[rows]]
            lost = rows[gone]
            removed_by[lost], left[lost] = side, counts[of_row[lost]]
            rows = rows[~gone]
            if settled == len(sides):
                break
    return Core(removed_by, left, users, items, user_left, item_left)
