"""The demo shop: deterministic, dirty where it should be, and with the structure in time that a real shop has."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sidrec import columns as c
from sidrec.config import DemoSource
from sidrec.ingest.demo import ATTRIBUTES, simulate_shop
from sidrec.ingest.demo.brands import makers
from sidrec.ingest.demo.catalogue import build_catalogue, title_of
from sidrec.ingest.demo.draws import Draws
from sidrec.ingest.demo.kinds import SIZES, SPECIES
from sidrec.ingest.demo.shelves import KIND_OF, KINDS, products_per_kind
from sidrec.ingest.demo.text import Writer

TIMESTAMP = "timestamp"
Shop = tuple[pl.DataFrame, pl.DataFrame]
SMALL = DemoSource(products=60, customers=80)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return simulate_shop(DemoSource(), 0)


@pytest.fixture(scope="module")
def sales(shop: Shop) -> pl.DataFrame:
    """The log without its dirt, with title and shelf (the last word of the category path) of each item."""
    items, interactions = shop
    known = items.unique(c.ITEM_ID, keep="first").filter(pl.col(c.TITLE).str.strip_chars() != "")
    return (
        interactions.unique(maintain_order=True)
        .join(known.select(c.ITEM_ID, c.TITLE, c.CATEGORY), on=c.ITEM_ID)
        .with_columns(
            shelf=pl.col(c.CATEGORY).list.get(1) + "/" + pl.col(c.CATEGORY).list.last(),
            month=pl.from_epoch(TIMESTAMP).dt.month(),
        )
        .sort(c.USER_ID, TIMESTAMP, maintain_order=True)
    )


@pytest.fixture(scope="module")
def histories(sales: pl.DataFrame) -> list[list[str]]:
    grouped = sales.group_by(c.USER_ID, maintain_order=True).agg(c.ITEM_ID)
    return [history for history in grouped[c.ITEM_ID].to_list() if len(history) >= 5]


def test_the_same_seed_gives_the_same_tables_and_another_seed_others() -> None:
    config = DemoSource(products=200, customers=150)
    first, again, other = simulate_shop(config, 7), simulate_shop(config, 7), simulate_shop(config, 8)
    assert_frame_equal(first[0], again[0])
    assert_frame_equal(first[1], again[1])
    assert not first[0].equals(other[0])
    assert not first[1].equals(other[1])


def test_the_tables_have_the_promised_columns(shop: Shop) -> None:
    items, interactions = shop
    assert dict(items.schema) == {
        c.ITEM_ID: pl.String(), c.TITLE: pl.String(), c.DESCRIPTION: pl.String(), c.FEATURES: pl.List(pl.String()),
        c.BRAND: pl.String(), c.CATEGORY: pl.List(pl.String()), c.PRICE: pl.Float64(),
        "in_stock": pl.Boolean(), "species": pl.String(), "life_stage": pl.String(), "rating": pl.Float64(),
    }  # fmt: skip
    assert tuple(items.columns[7:]) == ATTRIBUTES
    assert 0.85 < items["in_stock"].mean() < 0.95 and items["rating"].drop_nulls().is_between(1, 5).all()  # type: ignore[operator]
    assert items["rating"].null_count() and items["life_stage"].null_count()
    assert dict(interactions.schema) == {c.USER_ID: pl.String(), c.ITEM_ID: pl.String(), TIMESTAMP: pl.Int64()}
    assert interactions[TIMESTAMP].is_sorted()
    two_years = pl.Series([1672531200, 1672531200 + 732 * 86400])  # from 1 January 2023
    assert two_years[0] <= interactions[TIMESTAMP].min() < interactions[TIMESTAMP].max() < two_years[1]  # type: ignore[operator]


def test_the_default_shop_is_as_large_as_promised(shop: Shop, sales: pl.DataFrame, histories: list[list[str]]) -> None:
    items, interactions = shop
    titled = items.filter(pl.col(c.TITLE).str.strip_chars() != "")
    assert titled[c.ITEM_ID].n_unique() == 2000
    assert items.height < 2000 * 1.02
    assert interactions[c.USER_ID].n_unique() == 5000
    lengths = sales.group_by(c.USER_ID).len()["len"].to_numpy()
    assert 10 <= lengths.mean() <= 14
    assert lengths.min() >= 1 and lengths.max() <= 60
    assert len(histories) >= 4000


@pytest.mark.parametrize("config", [DemoSource(), SMALL], ids=["default", "small"])
def test_every_kind_of_dirt_is_there(config: DemoSource, shop: Shop) -> None:
    items, interactions = shop if config == DemoSource() else simulate_shop(config, 0)
    titles, texts = items[c.TITLE], items[c.DESCRIPTION]
    assert titles.null_count() >= 1
    assert (titles.str.strip_chars() == "").sum() >= 2
    assert titles.str.contains("<|sid_start|><|A1|>", literal=True).any()
    assert titles.str.contains("<|im_end|>", literal=True).any()
    assert titles.str.contains("\t", literal=True).any()
    assert (titles.str.len_chars() > 200).any()
    assert texts.str.contains("</").sum() >= 2
    assert texts.str.contains("&(amp|nbsp|quot|#39);").any()
    assert (texts.str.len_chars() > 10_000).sum() >= 1
    assert texts.null_count() >= 1 and items[c.BRAND].null_count() >= 1 and items[c.PRICE].null_count() >= 1
    assert items[c.ITEM_ID].is_duplicated().sum() >= 2 * 3
    assert items.is_duplicated().any(), "no exact copy of an item"
    assert interactions.is_duplicated().sum() >= 2 * 3
    unknown = interactions.filter(~pl.col(c.ITEM_ID).is_in(items[c.ITEM_ID].to_list()))
    assert unknown.height >= 3
    assert unknown.height < interactions.height * 0.02


@pytest.mark.parametrize(
    ("base", "complement"),
    [
        ("Fish/Tanks & Kits", "Fish/Filters"),
        ("Fish/Filters", "Fish/Filter Media"),
        ("Cats/Litter Boxes", "Cats/Litter"),
        ("Cats/Fountains", "Cats/Fountain Filters"),
        ("Small Animals/Cages & Hutches", "Small Animals/Bedding"),
        ("Birds/Cages & Stands", "Birds/Perches"),
    ],
)
def test_complements_come_after_what_they_complete(sales: pl.DataFrame, base: str, complement: str) -> None:
    first = sales.group_by(c.USER_ID, "shelf").agg(pl.col(TIMESTAMP).min())
    both = first.filter(pl.col("shelf") == base).join(first.filter(pl.col("shelf") == complement), on=c.USER_ID)
    after = (both["timestamp_right"] > both[TIMESTAMP]).sum()
    assert after >= 25
    assert after > 6 * (both.height - after)


def test_refills_are_of_the_maker_of_the_device(shop: Shop, sales: pl.DataFrame) -> None:
    named = sales.join(shop[0].unique(c.ITEM_ID, keep="first").select(c.ITEM_ID, c.BRAND), on=c.ITEM_ID).drop_nulls(c.BRAND)
    first = named.group_by(c.USER_ID, "shelf", maintain_order=True).agg(pl.col(c.BRAND).first())
    fountains = first.filter(pl.col("shelf") == "Cats/Fountains")
    both = fountains.join(first.filter(pl.col("shelf") == "Cats/Fountain Filters"), on=c.USER_ID)
    assert (both[c.BRAND] == both["brand_right"]).mean() > 0.5  # type: ignore[operator]  # by chance it would be a tenth


@pytest.mark.parametrize(
    ("shelf", "season", "off_season", "times"),
    [
        ("Dogs/Winter Coats", (11, 12, 1), (5, 6, 7), 8),
        ("Dogs/Flea & Tick", (5, 6, 7), (11, 12, 1), 4),
        ("Cats/Holiday Toys", (11, 12), (3, 4, 5, 6, 7, 8), 20),
        ("Dogs/Cooling Mats", (6, 7, 8), (12, 1, 2), 6),
    ],
)
def test_seasons(sales: pl.DataFrame, shelf: str, season: tuple[int, ...], off_season: tuple[int, ...], times: int) -> None:
    months = sales.filter(pl.col("shelf") == shelf)["month"]
    assert months.is_in(season).sum() > times * months.is_in(off_season).sum()


def test_young_animals_grow_up(sales: pl.DataFrame) -> None:
    food = sales.filter(pl.col("shelf") == "Dogs/Dry Food").with_columns(
        stage=pl.col(c.TITLE).str.extract(r"\b(Puppy|Adult)\b")
    ).drop_nulls("stage")  # fmt: skip
    first = food.group_by(c.USER_ID, "stage").agg(pl.col(TIMESTAMP).min())
    both = first.filter(stage="Puppy").join(first.filter(stage="Adult"), on=c.USER_ID)
    puppy_first = (both[TIMESTAMP] < both["timestamp_right"]).sum()
    assert puppy_first >= 20
    assert puppy_first > 1.5 * (both.height - puppy_first)  # some homes have an old and a young dog


def test_customers_come_back_to_what_they_like(sales: pl.DataFrame, histories: list[list[str]]) -> None:
    repeats = sum(history[-1] in history[:-1] for history in histories) / len(histories)
    assert 0.15 <= repeats <= 0.27
    species = dict(sales.select(c.ITEM_ID, pl.col(c.CATEGORY).list.get(1)).iter_rows())
    same = sum(species[history[-1]] in {species[item] for item in history[:-1]} for history in histories)
    assert same > 0.97 * len(histories)


def test_popularity_has_a_long_tail(sales: pl.DataFrame) -> None:
    counts = sales.group_by(c.ITEM_ID).len()["len"].sort(descending=True)
    assert 0.5 < counts[: 2000 // 5].sum() / sales.height < 0.8
    assert counts[0] < 0.03 * sales.height
    assert len(counts) > 0.9 * 2000


@pytest.mark.parametrize("config", [DemoSource(), SMALL], ids=["default", "small"])
def test_there_is_grain_free_food_for_a_senior_cat(config: DemoSource, shop: Shop) -> None:
    items = shop[0] if config == DemoSource() else simulate_shop(config, 0)[0]
    food = items.filter(
        pl.col(c.CATEGORY).list.contains("Cats"), pl.col(c.CATEGORY).list.contains("Food"),
        pl.col(c.TITLE).str.contains("Grain-Free Senior"),
    )  # fmt: skip
    assert food.height >= (10 if config == DemoSource() else 2)
    assert not food[c.TITLE].str.contains("Rice|Barley|Oat").any()


@pytest.mark.parametrize("products", [50, 60, 2000, 6000])
def test_titles_tell_products_apart_and_texts_are_whole(products: int) -> None:
    catalogue = build_catalogue(products, 3)
    assert len(catalogue) == products
    assert len({title_of(product) for product in catalogue}) == products
    draws = Draws(3, 2)
    for product in catalogue:
        writer = Writer(draws, product)
        description, features = writer.description(), writer.features()
        assert 2 <= len(re.findall(r"(?<!\bDr)[.?!](?= [A-Z0-9]|$)", description)) <= 5, description
        assert 3 <= len(features) <= 5 and len(set(features)) == len(features)
        for text in (title_of(product), description, *features):
            assert not re.search(r"[\[\]{}|<>]|  | ,|\b[Aa] [aeio](?!ne)", text), text
            assert text[0] == text[0].upper() or text.startswith("pH")
        assert product.price > 0


def test_the_tables_of_kinds_are_consistent() -> None:
    assert sum(products_per_kind(2000)) == 2000
    for kind in KINDS:
        assert len(makers(kind.species, kind.department)) >= 3, kind.slug
        assert len(kind.months) in (0, 12), kind.slug
        assert kind.used_up or kind.every > 0, kind.slug
        assert all(0 <= size < len(SIZES[kind.species]) for fit in kind.fits for size in fit.classes), kind.slug
        assert len(kind.says) >= 3 and len(kind.points) >= 4, kind.slug
        for then in kind.then:
            assert KINDS[KIND_OF[then.slug]].species == kind.species, kind.slug
            assert then.soonest < then.latest
        assert not kind.refill_of or KIND_OF[kind.refill_of] < KIND_OF[kind.slug], (
            "makers of a device are known before its refills"
        )
    assert {kind.species for kind in KINDS} == set(SPECIES)


@given(st.integers(50, 130), st.integers(50, 90), st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_small_shops_work(products: int, customers: int, seed: int) -> None:
    items, interactions = simulate_shop(DemoSource(products=products, customers=customers), seed)
    titled = items.filter(pl.col(c.TITLE).str.strip_chars() != "")
    assert titled[c.ITEM_ID].n_unique() == products
    assert interactions[c.USER_ID].n_unique() == customers
    bought = set(interactions[c.ITEM_ID]) - set(items[c.ITEM_ID])
    assert all(item.startswith("OLD-") for item in bought)
