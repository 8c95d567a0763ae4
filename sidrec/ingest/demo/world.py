"""The catalogue as arrays, shelf by shelf: what the choice of a product is computed from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidrec.ingest.demo.brands import BRANDS
from sidrec.ingest.demo.catalogue import Product
from sidrec.ingest.demo.shelves import KINDS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OPENING: Final = datetime.date(2023, 1, 1)
DAYS: Final = 730
MONTH_OF_DAY: Final = tuple((OPENING + datetime.timedelta(days=day)).month - 1 for day in range(DAYS + 1))

# Log weight of a product's diet (column) for what a pet needs (row), both in the order of ``DIETS``.
_DIET_FIT: Final = np.array(
    [
        [0.0, -0.8, -1.5, -1.3, -1.3],
        [-3.5, 0.0, -1.5, -3.0, -2.5],
        [-2.5, -1.0, 0.0, -1.0, -3.0],
        [-2.0, -1.5, -0.3, 0.0, -3.0],
        [-1.5, -1.5, -2.0, -2.0, 0.0],
    ]
)
_WRONG_STAGE, _WRONG_SIZE, _WRONG_BRAND, _PRICE_WIDTH = -3.5, -5.0, -5.0, 0.6


@dataclass(frozen=True, slots=True)
class Shelf:
    """The S products of one kind; each array has one entry a product."""

    products: Ints  # positions in the catalogue
    family: Ints
    brand: Ints
    accent: Ints  # flavour or colour, numbered over the whole shop; 0: none
    stage: Ints
    diet: Ints
    fits: Ints  # bit mask of size classes; all bits where it fits everybody
    tier: Floats
    pack: Floats  # -1 the smallest pack of the kind to 1 the largest
    appeal: Floats

    def log_weights(self, taste: Taste, stage: int, size: int, diet: int, pack_wish: float, brand: int) -> Floats:
        """``(S,)``: how much a household with this taste wants each product for this pet; ``brand`` -1: any."""
        weights: Floats = self.appeal + taste.brands[self.brand] + taste.accents[self.accent] + _DIET_FIT[diet][self.diet]
        weights += pack_wish * self.pack - 0.5 * ((self.tier - taste.budget) / _PRICE_WIDTH) ** 2
        weights += np.where((self.stage >= 0) & (self.stage != stage), _WRONG_STAGE, 0.0)
        weights += np.where((self.fits >> size) & 1, 0.0, _WRONG_SIZE)
        if brand >= 0:
            weights += np.where(self.brand == brand, 0.0, _WRONG_BRAND)
        return weights


@dataclass(frozen=True, slots=True)
class Taste:
    """Log weights of brands and accents, and the price position that a household likes."""

    brands: Floats
    accents: Floats
    budget: float


@dataclass(frozen=True, slots=True)
class World:
    """All shelves (``None`` where a small shop has nothing of a kind) and facts by product."""

    catalogue: Sequence[Product]
    shelves: tuple[Shelf | None, ...]
    n_accents: int
    launch: tuple[int, ...]
    fame: Floats  # (N,) cumulative share of sales, for buyers without a pet


def build_world(catalogue: Sequence[Product]) -> World:
    """Arrays from the list of products."""
    accents: dict[str, int] = {"": 0}
    for product in catalogue:
        accents.setdefault(product.word("flavour") or product.word("colour"), len(accents))
    by_kind: list[list[int]] = [[] for _ in KINDS]
    for at, product in enumerate(catalogue):
        by_kind[product.kind].append(at)
    shelves = tuple(_shelf(catalogue, at, accents) if at else None for at in by_kind)
    fame = np.zeros(len(catalogue))
    for kind, shelf in zip(KINDS, shelves, strict=True):
        if shelf is not None:
            share = np.exp(shelf.appeal)
            fame[shelf.products] = kind.weight * share / share.sum()
    return World(catalogue, shelves, len(accents), tuple(p.launch for p in catalogue), np.cumsum(fame / fame.sum()))


def _shelf(catalogue: Sequence[Product], positions: list[int], accents: dict[str, int]) -> Shelf:
    products = [catalogue[at] for at in positions]
    largest = max(len(products[0].of.packs) - 1, 1)
    every_size = -1  # all bits set
    fits = [sum(1 << size for size in p.of.fits[p.fit].classes) if p.fit >= 0 else every_size for p in products]

    def ints(values: list[int]) -> Ints:
        return np.asarray(values, dtype=np.int64)

    return Shelf(
        products=ints(positions),
        family=ints([p.family for p in products]),
        brand=ints([p.brand for p in products]),
        accent=ints([accents[p.word("flavour") or p.word("colour")] for p in products]),
        stage=ints([p.stage for p in products]),
        diet=ints([p.diet for p in products]),
        fits=ints(fits),
        tier=np.asarray([BRANDS[p.brand].tier for p in products]),
        pack=np.asarray([2.0 * p.pack / largest - 1.0 if len(p.of.packs) > 1 else 0.0 for p in products]),
        appeal=np.asarray([p.appeal for p in products]),
    )
