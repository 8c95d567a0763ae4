"""The demo shop's export: two raw tables."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Final

import polars as pl

from sidrec import columns as c
from sidrec.config import DemoSource
from sidrec.ingest.demo.brands import BRANDS
from sidrec.ingest.demo.catalogue import Product, build_catalogue, title_of
from sidrec.ingest.demo.dirt import Row, Sale, soil_items, soil_sales
from sidrec.ingest.demo.draws import Draws
from sidrec.ingest.demo.kinds import stage_word
from sidrec.ingest.demo.purchases import simulate_purchases
from sidrec.ingest.demo.text import Writer
from sidrec.ingest.demo.world import OPENING, build_world
from sidrec.ingest.draw import place

TIMESTAMP: Final = "timestamp"
_ITEMS: Final[dict[str, pl.DataType]] = {
    c.ITEM_ID: pl.String(),
    c.TITLE: pl.String(),
    c.DESCRIPTION: pl.String(),
    c.FEATURES: pl.List(pl.String()),
    c.BRAND: pl.String(),
    c.CATEGORY: pl.List(pl.String()),
    c.PRICE: pl.Float64(),
    "in_stock": pl.Boolean(),
    "species": pl.String(),
    "life_stage": pl.String(),
    "rating": pl.Float64(),
}
ATTRIBUTES: Final = ("in_stock", "species", "life_stage", "rating")
_IN_STOCK, _RATED = 0.9, 0.88  # shares of the catalogue
_SALES: Final[dict[str, pl.DataType]] = {c.USER_ID: pl.String(), c.ITEM_ID: pl.String(), TIMESTAMP: pl.Int64()}
_OPENING_SECONDS: Final = int(datetime.datetime.combine(OPENING, datetime.time(), datetime.UTC).timestamp())
_DAY_SECONDS: Final = 86_400


def simulate_shop(config: DemoSource, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The raw tables of a pet-supplies shop, as it would export them: not yet cleaned.

    Items: ``item_id`` (String), ``title``, ``description``, ``brand`` (String or null), ``features`` and ``category``
    (List(String)), ``price`` (Float64 dollars or null), and the ``ATTRIBUTES``. Interactions: ``user_id``, ``item_id``
    (String), ``timestamp`` (Int64, Unix seconds), in time order. The catalogue has ``config.products`` clean rows and a few
    more that cleaning has to drop; ``config.customers`` customers buy over two years. The same config and seed give the
    same tables.
    """
    catalogue = build_catalogue(config.products, seed)
    log = simulate_purchases(build_world(catalogue), config.customers, seed)
    names, dirt = Draws(seed, 5), Draws(seed, 6)
    item_ids = _ids(names, "PS", len(catalogue))
    user_ids = _ids(names, "C", config.customers)
    writing = Draws(seed, 2)
    rows = [_row(writing, product, item_id) for product, item_id in zip(catalogue, item_ids, strict=True)]
    for row, product in zip(rows, catalogue, strict=True):
        row |= _attributes(product, str(row[c.ITEM_ID]), seed)
    rows.sort(key=lambda row: str(row[c.ITEM_ID]))
    sales: list[Sale] = [
        (user, item_ids[product], _OPENING_SECONDS + int(day * _DAY_SECONDS))
        for user, purchases in zip(user_ids, log, strict=True)
        for day, product in purchases
    ]
    rows, untitled = soil_items(rows, dirt)
    sales = soil_sales(sales, untitled, dirt)
    items = pl.DataFrame(rows, schema=_ITEMS)
    interactions = pl.DataFrame(sales, schema=_SALES, orient="row")
    return items, interactions.sort(TIMESTAMP, c.USER_ID, c.ITEM_ID)


def _ids(draws: Draws, prefix: str, n: int) -> Sequence[str]:
    """Different ids that say nothing of the order in which things were made."""
    numbers = draws.generator.choice(max(900_000, 10 * n), size=n, replace=False)
    return [f"{prefix}{100_000 + int(number)}" for number in numbers]


def _row(draws: Draws, product: Product, item_id: str) -> Row:
    writer = Writer(draws, product)
    return {
        c.ITEM_ID: item_id,
        c.TITLE: title_of(product),
        c.DESCRIPTION: writer.description(),
        c.FEATURES: writer.features(),
        c.BRAND: BRANDS[product.brand].name,
        c.CATEGORY: ["Pet Supplies", product.of.species, *product.of.path],
        c.PRICE: product.price,
    }


def _attributes(product: Product, item_id: str, seed: int) -> Row:
    """What filters ask for. Drawn by the item's id, so that nothing else of the shop depends on these draws."""
    stock, rated, luck = (float(place(seed, [item_id], purpose)[0]) for purpose in ("stock:", "rated:", "rating:"))
    stars = 4.0 + 0.4 * math.tanh(product.appeal) + 1.2 * (luck - 0.5)
    return {
        "in_stock": stock < _IN_STOCK,
        "species": product.of.species,
        "life_stage": stage_word(product.of.species, product.stage) or None,
        "rating": round(stars, 1) if rated < _RATED else None,
    }
