"""Conditions composed: nothing that any of them forbids passes, and an empty answer says which of them exclude each other."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.errors import ConfigError, DataError
from sidrec.recommend.eligibility import Eligibility
from sidrec.recommend.expressions import Filter, FilterColumns, show
from tests.recommend.expressions.trees import catalogues, fitting_trees

N = 10
SHOP = FilterColumns.of(
    pl.DataFrame(
        {
            "price": [float(i) for i in range(N)],
            "in_stock": [i >= 5 for i in range(N)],
            "brand": ["Acme", "Ursa"] * 5,
            "category": [["Pets", "Cats" if i % 3 else "Dogs"] for i in range(N)],
        }
    ),
    np.array([100, 50, 10, 5, 1, 0, 0, 0, 0, 0]),
)


def left(eligibility: Eligibility) -> list[int]:
    return list(range(N)) if eligibility.mask is None else np.flatnonzero(eligibility.mask).tolist()


def test_every_kind_of_condition_is_one_mask() -> None:
    retired = np.arange(N) != 9
    found = Eligibility.of(
        SHOP, ["price >= 2", "in_stock or price < 4"], allow=[1, 2, 3, 5, 6, 9], deny=[3], min_novelty=4.0, offered=retired
    )
    assert left(found) == [2, 5, 6]  # 1: too cheap and too well known; 3: denied; 9: retired
    assert found.mask is not None and not found.mask.flags.writeable and found.mask.base is None
    assert [part.text for part in found.parts(seen=[2])] == [
        "price >= 2", "in_stock or price < 4", "novelty >= 4", "the allow-list", "the deny-list", "not retired",
        "not bought before",
    ]  # fmt: skip
    assert [[match.condition for match in row] for row in found.matches([2, 5])] == [
        ["price >= 2", "price < 4", "novelty >= 4"],
        ["price >= 2", "in_stock", "novelty >= 4"],
    ]


def test_nothing_asked_is_no_mask() -> None:
    assert Eligibility.of(SHOP).mask is None
    assert left(Eligibility.of(SHOP, allow=[])) == []


@pytest.mark.parametrize(
    ("filters", "more", "seen", "said"),
    [
        (["price < 5 and in_stock"], {}, [], "price < 5 leaves 5 of 10 items, in_stock 5; both together leave none"),
        (["price < 3"], {"allow": [7, 8]}, [], "price < 3 leaves 3 of 10 items, the allow-list 2; both together leave none"),
        (["price = 3"], {}, [3], "price = 3 leaves 1 of 10 items, not bought before 9; both together leave none"),
        (["price > 99"], {}, [], "price > 99 leaves none of 10 items (price goes from 0 to 9)"),
        (["brand = 'Acmee' and in_stock"], {}, [], "brand = \"Acmee\" leaves none of 10 items; did you mean \"Acme\"?"),
        (["category has 'Cat'"], {}, [], 'category has "Cat" leaves none of 10 items; did you mean "Cats"?'),
        (["brand = 'Zzz'"], {}, [], 'brand = "Zzz" leaves none of 10 items (brand is one of "Acme", "Ursa")'),
        (["price <= 6 and brand = 'Ursa' and price != 5 and in_stock"], {}, [],
         'price <= 6 leaves 7 of 10 items, brand = "Ursa" 5, price != 5 9, in_stock 5; all together leave none'),
        (["price < 8 and not in_stock"], {}, [], "price < 8 leaves 8 of 10 items, not in_stock 5; all together leave 5"),
        ([], {"deny": range(N)}, [], "the deny-list leaves none of 10 items"),
    ],
)  # fmt: skip
def test_why_so_few(filters: list[str], more: dict[str, list[int]], seen: list[int], said: str) -> None:
    assert Eligibility.of(SHOP, filters, **more).why_so_few(seen) == said


def test_what_is_no_condition_is_refused() -> None:
    with pytest.raises(ConfigError, match="a number of bits"):
        Eligibility.of(SHOP, min_novelty=float("nan"))
    with pytest.raises(DataError, match="item 10 is not in the catalogue"):
        Eligibility.of(SHOP, allow=[3, 10])
    with pytest.raises(DataError, match="as many truth values"):
        Eligibility.of(SHOP, offered=np.ones(3, dtype=np.bool_))
    with pytest.raises(ConfigError, match="no column 'prise'"):
        Eligibility.of(SHOP, ["price < 3", "prise < 3"])


@given(catalogues(), st.lists(fitting_trees, max_size=2), st.data())
def test_the_mask_is_what_all_conditions_let_through(shop: FilterColumns, trees: list, data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, max(0, shop.n_items - 1)), max_size=4) if shop.n_items else st.just([])
    allow, deny, seen = data.draw(st.one_of(st.none(), rows)), data.draw(rows), data.draw(rows)
    found = Eligibility.of(shop, [show(tree) for tree in trees], allow=allow, deny=deny)
    expected = [
        all(Filter(tree, shop).mask()[i] for tree in trees) and (allow is None or i in allow) and i not in deny
        for i in range(shop.n_items)
    ]
    assert (expected if found.mask is None else found.mask.tolist()) == expected
    assert found.why_so_few(seen)  # whatever is asked, it has a sentence
    parts = [part.mask for part in found.parts(seen)]
    both = [one and i not in seen for i, one in enumerate(expected)]
    assert np.logical_and.reduce(parts).tolist() == both if parts else all(both)
