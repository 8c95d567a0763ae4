"""Whatever happens to a catalogue, no code moves and none is given twice."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidrec.errors import ArtifactError, DataError
from sidrec.quantize import Registry, break_ties, seat, text_fingerprints
from sidrec.types import ItemCodes
from tests.builders import make_corpus

TIE_CODES = 4
SIZES = (3, 6, TIE_CODES)


def learned(item_id: str) -> list[int]:
    """What a frozen codebook says of an item: a function of the item alone."""
    return [hash_of(item_id) % SIZES[0], hash_of(item_id) // 7 % SIZES[1]]


def hash_of(item_id: str) -> int:
    return int(text_fingerprints(make_corpus(1).items.with_columns(title=pl.lit(item_id)))[0], 16)


LEARNED = {f"P{i:04}": learned(f"P{i:04}") for i in range(400)}


def other_codes(ids: list[str]) -> list[tuple[list[int], int]]:
    """All other codes of the level, in a fixed order; the first of them is near."""
    return [([(LEARNED[item][1] + step) % SIZES[1] for step in range(1, SIZES[1])], 1) for item in ids]


def seated(taken: np.ndarray, ids: list[str]) -> np.ndarray:
    codes = np.array([LEARNED[item] for item in ids], np.int32).reshape(-1, 2)
    return seat(taken, codes, TIE_CODES, other_codes(ids).__getitem__, ids)


def rebuilt(registry: Registry, ids: list[str]) -> Registry:
    """What the corridor does on an add and on a rebuild, with the table above for a quantizer."""
    new = registry.unknown(ids)
    codes = seated(registry.codes, [ids[i] for i in new])
    return registry.with_catalogue(ids, [f"text of {item}" for item in ids], new, codes)


def first(ids: list[str]) -> Registry:
    codes = seated(np.empty((0, 3), np.int32), ids)
    return Registry.first(ids, ItemCodes(codes, SIZES), [f"text of {item}" for item in ids], 0.25)


class Told:
    """The same shop as a plain story: who came when, and who is away for what reason. Codes are not in it."""

    def __init__(self, ids: list[str]) -> None:
        self.known = sorted(ids)  # in the order in which they came
        self.since = [1] * len(ids)
        self.version = 1
        self.there = list(ids)
        self.by_hand: set[str] = set()

    def catalogue(self, ids: list[str]) -> None:
        new = sorted(set(ids) - set(self.known))
        self.version += 1
        self.known += new
        self.since += [self.version] * len(new)
        self.there = list(ids)

    def check(self, registry: Registry) -> None:
        """One build of all items in the order of their arrival gives the codes; the story gives the rest."""
        codes = seated(np.empty((0, 3), np.int32), self.known)
        at = registry.places()
        assert sorted(at) == sorted(self.known)
        assert np.array_equal(registry.codes[[at[item] for item in self.known]], codes)
        assert registry.row_ids() == self.there
        assert registry.offered().tolist() == [item not in self.by_hand for item in self.there]
        away = {item for item in self.known if item in self.by_hand or item not in self.there}
        assert {item for item, retired in zip(registry.item_ids, registry.retired, strict=True) if retired} == away
        assert (registry.since.tolist(), registry.version) == (self.since, self.version)


def one_step(registry: Registry, told: Told, draw: random.Random) -> Registry:
    """A random add, retirement, return or rebuild of a shop."""
    full = len(told.known) >= SIZES[0] * SIZES[1] * TIE_CODES * 2 // 3
    pool = told.known if full else list(LEARNED)
    match draw.randrange(4):
        case 0:
            there = set(told.there)
            missing = [item for item in pool if item not in there]
            ids = told.there + draw.sample(missing, min(len(missing), draw.randint(0, 3)))
            told.catalogue(ids)
            return rebuilt(registry, ids)
        case 1:
            chosen = draw.sample(told.known, min(len(told.known), draw.randint(1, 3)))
            told.by_hand |= set(chosen)
            told.version += 1
            return registry.retire(chosen)
        case 2:
            chosen = draw.sample(told.there, min(len(told.there), draw.randint(1, 3)))
            told.by_hand -= set(chosen)
            told.version += 1
            return registry.restore(chosen)
        case _:
            ids = draw.sample(told.known, draw.randint(1, len(told.known)))
            told.catalogue(ids)
            return rebuilt(registry, ids)


def test_ten_thousand_random_steps_end_where_one_build_with_their_history_ends() -> None:
    draw = random.Random(0)
    start = sorted(draw.sample(sorted(LEARNED), 4))
    registry, told = first(start), Told(start)
    before = registry
    for step in range(10_000):
        registry = one_step(registry, told, draw)
        assert registry.item_ids[: len(before.item_ids)] == before.item_ids
        assert np.array_equal(registry.codes[: len(before.codes)], before.codes)  # nothing moved
        assert len({code.tobytes() for code in registry.codes}) == len(registry.codes)  # nothing is given twice
        if step % 500 == 0:
            told.check(registry)
        before = registry
    told.check(registry)
    assert registry.version == 10_001 and len(registry.item_ids) >= 48


class Shop(RuleBasedStateMachine):
    """Hypothesis looks for a short story that ends badly."""

    def __init__(self) -> None:
        super().__init__()
        self.registry, self.told = first(["P0000"]), Told(["P0000"])

    @rule(seed=st.integers(0, 2**32))
    def step(self, seed: int) -> None:
        self.registry = one_step(self.registry, self.told, random.Random(seed))

    @invariant()
    def the_story_holds(self) -> None:
        self.told.check(self.registry)


TestShop = Shop.TestCase
TestShop.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@given(st.permutations(sorted(LEARNED)[:20]), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_one_by_one_or_all_at_once_seat_items_alike(ids: list[str], cut: int) -> None:
    whole = seated(np.empty((0, 3), np.int32), ids)
    head = seated(np.empty((0, 3), np.int32), ids[:cut])
    assert np.array_equal(np.concatenate((head, seated(head, ids[cut:]))), whole)


def test_a_full_group_sends_the_next_item_to_its_next_nearest_code() -> None:
    taken = np.array([[1, 2, 0], [1, 2, 1], [1, 5, 0], [1, 5, 1]], np.int32)
    codes = seat(taken, np.array([[1, 2]], np.int32), 2, lambda row: ([5, 3], 0), ["new"])
    assert codes.tolist() == [[1, 3, 0]]
    with pytest.raises(DataError, match=r"item 'new' cannot get a code.*\(1, 2\).*sidrec codes drift"):
        seat(taken, np.array([[1, 2]], np.int32), 2, lambda row: ([5], 0), ["new"])


def test_an_item_that_left_with_the_catalogue_comes_back_with_it_and_one_retired_by_hand_does_not() -> None:
    registry = first(["P0000", "P0001", "P0002"]).retire(["P0001"])
    code = dict(zip(registry.item_ids, registry.codes.tolist(), strict=True))
    gone = rebuilt(registry, ["P0002"])
    assert gone.row_ids() == ["P0002"] and gone.row_codes().codes.tolist() == [code["P0002"]]
    back = rebuilt(gone, ["P0001", "P0002", "P0000"])
    assert back.row_codes().codes.tolist() == [code["P0001"], code["P0002"], code["P0000"]]
    assert back.offered().tolist() == [False, True, True]
    with pytest.raises(DataError, match="the catalogue no longer has item 'P0000'"):
        gone.restore(["P0000"])
    with pytest.raises(DataError, match=r"no item 'nope' in the catalogue \(1 more are like it\); item ids look like 'P0000'"):
        gone.retire(["nope", "neither"])


def test_a_code_of_another_item_is_refused() -> None:
    registry = first(["P0000", "P0001"])
    with pytest.raises(DataError, match=r"item 'P0005' would get the code .* of another item"):
        registry.with_catalogue(["P0005"], ["t"], [0], registry.codes[:1])
    with pytest.raises(DataError, match="'P0005' stands twice"):
        registry.unknown(["P0005", "P0005"])


def test_saved_and_read_again(tmp_path: Path) -> None:
    registry = rebuilt(first(["P0000", "P0001", "P0002"]).retire(["P0001"]), ["P0007", "P0001"])
    registry.save(tmp_path / "a.parquet")
    read = Registry.load(tmp_path / "a.parquet")
    for name in ("rows", "codes", "since", "retired", "absent"):
        found, expected = getattr(read, name), getattr(registry, name)
        assert found.dtype == expected.dtype and np.array_equal(found, expected)
    assert (read.item_ids, read.texts, read.sizes, read.residual, read.version) == (
        registry.item_ids, registry.texts, registry.sizes, 0.25, registry.version,
    )  # fmt: skip
    read.save(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    frame = pl.read_parquet(tmp_path / "a.parquet")
    assert frame["retired"].to_list() == [3, 2, 3, None] and frame["item_index"].to_list() == [None, 1, None, 0]
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and not much more")
    for name in ("a.parquet", "none.parquet"):
        with pytest.raises(ArtifactError, match=r"missing or damaged.*sidrec quantize"):
            Registry.load(tmp_path / name)


def test_a_text_is_everything_but_the_price() -> None:
    items = make_corpus(2).items
    before = text_fingerprints(items)
    assert text_fingerprints(items.with_columns(price=pl.lit(1.0))) == before and len(set(before)) == 2
    for column, value in {"title": "x", "description": "x", "brand": "x"}.items():
        assert text_fingerprints(items.with_columns(pl.lit(value).alias(column)))[0] != before[0]
    assert text_fingerprints(items.with_columns(pl.lit(["a", "b"]).alias("features")))[0] != before[0]


def test_seats_without_moves_are_those_of_the_first_build() -> None:
    ids = sorted(LEARNED)[:40]
    codes = np.array([LEARNED[item] for item in ids], np.int32)
    assert np.array_equal(seat(np.empty((0, 3), np.int32), codes, 9, lambda row: ([], 0), ids), break_ties(codes, ids, 9)[0])


def test_an_item_moves_to_a_near_code_that_nobody_has_before_it_ties() -> None:
    taken = np.array([[1, 2, 0], [1, 5, 0]], np.int32)
    learned = np.array([[1, 2]] * 3, np.int32)
    assert seat(taken, learned, 4, lambda row: ([5, 3, 0], 2), ["a", "b", "c"]).tolist() == [[1, 3, 0], [1, 2, 1], [1, 2, 2]]
