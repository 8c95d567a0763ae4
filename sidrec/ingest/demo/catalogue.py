"""The catalogue: families of products of one maker, and their variants of flavour, size and colour."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from itertools import product as combinations
from typing import Final

from sidrec.ingest.demo.brands import BRANDS, makers
from sidrec.ingest.demo.draws import Draws
from sidrec.ingest.demo.kinds import DIETS, Kind, stage_word
from sidrec.ingest.demo.shelves import KINDS, products_per_kind

BEFORE_OPENING: Final = -1000  # launch day of what was on the shelf from the start
_NEW_SHARE, _LAST_LAUNCH = 0.3, 660
_ALWAYS_STOCKED: Final = ("cat-dry-food", "cat-wet-food")  # any real shop has these grain-free for seniors
_GRAIN: Final = re.compile("Rice|Barley|Oat")
_DIET_WEIGHTS: Final = (0.5, 0.22, 0.1, 0.1, 0.08)
_FOOD_STAGES: Final = (0.34, 0.14, 0.32, 0.2)  # all stages, young, adult, senior
_OTHER_STAGES: Final = (0.8, 0.06, 0.06, 0.08)


@dataclass(frozen=True, slots=True)
class Product:
    """Attributes are positions in the kind's own tuples; -1 where it has none or the product is for all."""

    kind: int
    brand: int
    family: int
    noun: int = 0
    series: int = -1
    stage: int = -1
    diet: int = 0
    fit: int = -1
    style: int = -1
    material: int = -1
    colour: int = -1
    flavour: int = -1
    pack: int = 0
    copies: int = 1  # sold as a bundle of so many packs
    launch: int = BEFORE_OPENING  # day; customers cannot buy it before
    appeal: float = 0.0  # logarithm of popularity
    price: float = 0.0

    @property
    def of(self) -> Kind:
        return KINDS[self.kind]

    def word(self, axis: str) -> str:
        """The word of an attribute, "" where there is none.

        >>> Product(kind=0, brand=0, family=0, flavour=1).word("flavour")
        'Beef & Barley'
        """
        at: int = getattr(self, axis)
        if at < 0:
            return ""
        if axis == "series":
            return BRANDS[self.brand].series[at]
        if axis == "noun":
            return self.of.noun.split("|")[at]
        words: tuple[str, ...] = getattr(self.of, f"{axis}s")
        return words[at]

    @property
    def fit_label(self) -> str:
        return self.of.fits[self.fit].label if self.fit >= 0 else ""

    @property
    def pack_label(self) -> str:
        return self.of.packs[self.pack].label

    @property
    def days(self) -> float:
        """How long it lasts one average pet; 0 for what is not used up."""
        return self.of.packs[self.pack].days * self.copies


def title_of(product: Product) -> str:
    """The shop's title: every attribute that tells two products apart is in it."""
    kind, fit = product.of, product.fit_label
    after = fit if fit.startswith("for ") else ""
    at_end = fit if fit in ("Small", "Medium", "Large") else ""
    head = (
        BRANDS[product.brand].name, product.word("series"), DIETS[product.diet], stage_word(kind.species, product.stage),
        "" if after or at_end else fit, product.word("material"), product.word("style"), product.word("noun"), after,
    )  # fmt: skip
    bundle = f"Bundle of {product.copies}" if product.copies > 1 else ""
    tail = (product.word("flavour"), product.word("colour"), at_end, product.pack_label, bundle)
    parts = (" ".join(w for w in head if w), *tail)
    return ", ".join(part for part in parts if part)


def build_catalogue(products: int, seed: int) -> list[Product]:
    """``products`` products with different titles, kind by kind."""
    draws = Draws(seed, 1)
    made: list[Product] = []
    families = 0
    makers_of: dict[str, tuple[int, ...]] = {}
    for kind, wanted in enumerate(products_per_kind(products)):
        titles: set[str] = set()
        shelf: list[Product] = []
        while len(shelf) < wanted:
            able = makers_of.get(KINDS[kind].refill_of) or makers(KINDS[kind].species, KINDS[kind].department)
            stem = _family(draws, kind, families, able, first=not shelf)
            families += 1
            shelf += [_distinct(variant, titles) for variant in _variants(draws, stem)[: wanted - len(shelf)]]
        makers_of[KINDS[kind].slug] = tuple(sorted({product.brand for product in shelf}))
        made += shelf
    return made


def _family(draws: Draws, kind_at: int, number: int, able: tuple[int, ...], first: bool) -> Product:
    """What the variants of one family share."""
    kind = KINDS[kind_at]
    brand = able[draws.weighted([BRANDS[i].share for i in able])]
    nouns = kind.noun.count("|") + 1
    stages = _FOOD_STAGES if kind.department == "food" and kind.diets else _OTHER_STAGES
    stage = draws.weighted(stages) - 1 if kind.stages else -1
    diet = draws.weighted(_DIET_WEIGHTS) if kind.diets else 0
    if first and kind.slug in _ALWAYS_STOCKED:
        stage, diet = 2, 1
    new = not first and draws.chance(_NEW_SHARE)
    return Product(
        kind=kind_at, brand=brand, family=number,
        noun=0 if draws.chance(0.65) else draws.below(nouns),
        series=draws.below(len(BRANDS[brand].series)) if draws.chance(0.55) else -1,
        stage=stage, diet=diet,
        fit=draws.below(len(kind.fits)) if kind.fits and kind.department == "food" else -1,
        style=draws.below(len(kind.styles)) if kind.styles else -1,
        material=draws.below(len(kind.materials)) if kind.materials else -1,
        launch=draws.below(_LAST_LAUNCH) if new else BEFORE_OPENING,
        appeal=0.8 * draws.normal() + 0.5 * math.log(BRANDS[brand].share) - (0.4 if diet else 0.0),
    )  # fmt: skip


def _variants(draws: Draws, stem: Product) -> list[Product]:
    """A few of the combinations of flavour, colour, fit and pack, each with its own price and popularity."""
    kind = stem.of
    fits = range(len(kind.fits)) if kind.fits and stem.fit < 0 else (stem.fit,)
    flavours = [i for i in _all(kind.flavours) if not (stem.diet == 1 and _GRAIN.search(kind.flavours[i]))]
    every = list(combinations(flavours, _all(kind.colours), fits, range(len(kind.packs))))
    wanted = 1
    while wanted < 12 and draws.chance(0.72):
        wanted += 1
    found = []
    for at in draws.sample(len(every), wanted):
        flavour, colour, fit, pack = every[at]
        later = draws.chance(0.1)
        found.append(
            replace(
                stem, flavour=flavour, colour=colour, fit=fit, pack=pack,
                launch=max(stem.launch, draws.below(_LAST_LAUNCH)) if later else stem.launch,
                appeal=stem.appeal + 0.55 * draws.normal(),
                price=_price(draws, stem, fit, pack),
            )
        )  # fmt: skip
    return found


def _all(words: tuple[str, ...]) -> range:
    return range(len(words)) if words else range(-1, 0)


def _price(draws: Draws, stem: Product, fit: int, pack: int) -> float:
    """Dollars, ending in 9 cents as prices do."""
    kind = stem.of
    classes = kind.fits[fit].classes if fit >= 0 and stem.fit < 0 else (0,)
    bigger = 1.0 + 0.2 * sum(classes) / len(classes)
    raw = kind.price * kind.packs[pack].price * bigger * math.exp(0.28 * BRANDS[stem.brand].tier + 0.1 * draws.normal())
    return _ending_in_9(raw)


def _ending_in_9(dollars: float) -> float:
    return round(max(round(dollars * 2) / 2, 2.0) - 0.01, 2)


def _distinct(product: Product, titles: set[str]) -> Product:
    """The product, as a bundle of as many as it takes to be told from all others."""
    copies = 1
    title = title_of(product)
    while title in titles:
        copies += 1
        title = title_of(replace(product, copies=copies))
    titles.add(title)
    return replace(product, copies=copies, price=_ending_in_9(product.price * copies**0.92)) if copies > 1 else product
