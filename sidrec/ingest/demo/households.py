"""Who buys: households, their pets, tastes and habits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sidrec.ingest.demo.draws import Draws
from sidrec.ingest.demo.kinds import SPECIES
from sidrec.ingest.demo.world import DAYS, Floats, Taste

_SPECIES_WEIGHTS: Final = (0.43, 0.33, 0.08, 0.05, 0.06, 0.05)
_SIZE_WEIGHTS: Final = (
    (0.4, 0.33, 0.27), (1.0,), (0.25, 0.3, 0.27, 0.18), (0.5, 0.3, 0.2), (0.3, 0.3, 0.4), (0.4, 0.32, 0.1, 0.18),
)  # fmt: skip
_SENIOR_AGE: Final = (7.5 * 365, 8.5 * 365)  # dogs, cats; the others have no life stages on the shelf
_OLDEST: Final = 13.0  # years, of a pet that a new customer brings along
_NEEDS: Final = (0.56, 0.18, 0.09, 0.09, 0.08)  # of a pet, in the order of ``DIETS``
_BROWSERS: Final = 0.03  # buy presents for other people's pets
_NEW_PET: Final = 0.5  # come because of a pet that has just moved in


@dataclass(frozen=True, slots=True)
class Pet:
    """Days count from the opening of the shop."""

    species: int
    size: int
    diet: int
    born: float
    arrives: float
    new: bool  # moves in as a customer's pet: everything has to be bought
    appetite: float
    taste: Taste

    def stage(self, day: float) -> int:
        """0 in the first year, 2 when old, 1 between."""
        age = day - self.born
        if age < 365:
            return 0
        return 2 if self.species < len(_SENIOR_AGE) and age > _SENIOR_AGE[self.species] else 1


@dataclass(frozen=True, slots=True)
class Household:
    """One customer of the shop; a browser has no pet."""

    pets: tuple[Pet, ...]
    joins: float
    leaves: float
    share: float  # of what it needs, so much is bought here
    loyalty: float  # chance to buy the very same product again
    bulk: float  # wish for large packs
    gap: float  # days between two orders at least
    phase: float


def draw_household(draws: Draws, n_brands: int, n_accents: int) -> Household:
    """A household from the distributions above."""
    joins = draws.between(0.0, 70.0) if draws.chance(0.38) else draws.between(0.0, DAYS - 170.0)
    stays = 150.0 + draws.exponential(140.0) + draws.exponential(140.0)
    brands = 1.0 * draws.generator.standard_normal(n_brands)
    budget = 0.55 * draws.normal()
    pets = []
    if not draws.chance(_BROWSERS):
        new = draws.chance(_NEW_PET)
        pets.append(_draw_pet(draws, draws.weighted(_SPECIES_WEIGHTS), joins, new, _taste(draws, brands, n_accents, budget)))
        while len(pets) < 4 and draws.chance(0.25):
            species = pets[0].species if draws.chance(0.65) else draws.weighted(_SPECIES_WEIGHTS)
            later = draws.chance(0.4)
            arrives = joins + draws.between(30.0, stays) if later else joins
            pets.append(_draw_pet(draws, species, arrives, later, _taste(draws, brands, n_accents, budget)))
    gap = 3.0 + draws.exponential(5.0)
    return Household(
        pets=tuple(pets),
        joins=joins,
        leaves=min(joins + stays, float(DAYS)),
        share=min(0.95, 0.42 * math.exp(0.3 * draws.normal())),
        loyalty=min(0.95, max(0.0, 0.15 + 0.15 * draws.normal())),
        bulk=0.7 * draws.normal(),
        gap=gap,
        phase=draws.between(0.0, gap),
    )


def _taste(draws: Draws, brands: Floats, n_accents: int, budget: float) -> Taste:
    accents = 0.9 * draws.generator.standard_normal(n_accents)
    accents[0] = 0.0
    return Taste(brands, accents, budget)


def _draw_pet(draws: Draws, species: int, arrives: float, new: bool, taste: Taste) -> Pet:
    size = draws.weighted(_SIZE_WEIGHTS[species])
    baby = draws.chance(0.65 if new else 0.06)
    age = draws.between(55.0, 130.0) if baby else 365.0 * draws.between(1.0, _OLDEST)
    eats = (0.55, 1.0, 1.6)[size] if SPECIES[species] == "Dogs" else 1.0
    return Pet(
        species=species,
        size=size,
        diet=draws.weighted(_NEEDS),
        born=arrives - age,
        arrives=arrives,
        new=new,
        appetite=eats * math.exp(0.2 * draws.normal()),
        taste=taste,
    )
