"""What the demo shop sells: the shape of a kind of product, and the words that several kinds share.

A kind carries its own language (nouns, sentences, bullet points) and its place in a household: how it is used up, what
season it belongs to, what is bought after it. The tables themselves are in ``dogs``, ``cats``, ``fish`` and ``others``.

In every text ``[a|b|c]`` means one of three, and ``{name}`` is filled with an attribute of the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Species = Literal["Dogs", "Cats", "Fish", "Birds", "Small Animals", "Reptiles"]
Department = Literal["food", "gear", "care", "habitat"]
SPECIES: Final[tuple[Species, ...]] = ("Dogs", "Cats", "Fish", "Birds", "Small Animals", "Reptiles")


@dataclass(frozen=True, slots=True)
class Pack:
    """A size on the shelf. ``days`` is how long one average pet takes to use it up; 0 for what is not used up."""

    label: str
    price: float  # times the price of the kind
    days: float = 0.0


@dataclass(frozen=True, slots=True)
class Fit:
    """Whom or what a product fits. ``classes`` are size classes of the species (see ``SIZES``)."""

    label: str
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Then:
    """A complement: bought ``soonest`` to ``latest`` days after the base product, with a chance."""

    slug: str
    chance: float
    soonest: float
    latest: float
    same_brand: bool = False  # cartridges and refills fit only their maker's device


@dataclass(frozen=True, slots=True)
class Kind:
    """One shelf of the shop."""

    slug: str
    species: Species
    path: tuple[str, ...]  # below "Pet Supplies" and the species
    noun: str  # alternatives behind "|"; the first is the usual one
    weight: float  # share of the catalogue
    price: float  # dollars, of an average brand in a pack with factor 1
    department: Department
    says: tuple[str, ...]
    points: tuple[str, ...]
    packs: tuple[Pack, ...] = (Pack("", 1.0),)
    flavours: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    materials: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    stages: bool = False
    diets: bool = False
    fits: tuple[Fit, ...] = ()
    adopt: float = 0.0  # chance that a household with such a pet buys this kind here at all
    every: float = 0.0  # mean days between two purchases in season, of a kind that is not used up
    start: float = 0.0  # chance that it is bought for a newly arrived pet
    refill_of: str = ""  # slug of the device it fits; only makers of that device make it
    baby_only: bool = False  # for a pet in its first year
    months: tuple[float, ...] = ()  # January to December, 1 = peak; empty: all the same
    then: tuple[Then, ...] = ()

    @property
    def used_up(self) -> bool:
        """Whether it is bought again because it is gone; other things are bought again on a whim."""
        return self.packs[-1].days > 0.0


# Size classes: what ``Pet.size`` counts.
SIZES: Final[dict[Species, tuple[str, ...]]] = {
    "Dogs": ("small", "medium", "large"),
    "Cats": ("cat",),
    "Fish": ("betta, 5 gallons", "tropical, 10 gallons", "tropical, 20 gallons", "goldfish, 40 gallons"),
    "Birds": ("parakeet", "cockatiel", "parrot"),
    "Small Animals": ("hamster", "guinea pig", "rabbit"),
    "Reptiles": ("gecko", "bearded dragon", "chameleon", "turtle"),
}

STAGES: Final = ("Puppy", "Adult", "Senior")  # a young cat is a kitten; see ``stage_word``
DIETS: Final = ("", "Grain-Free", "Limited Ingredient", "Sensitive Stomach", "Healthy Weight")


def stage_word(species: Species, stage: int) -> str:
    """The shop's word for a life stage; "" for all of them.

    >>> stage_word("Cats", 0), stage_word("Dogs", 2), stage_word("Cats", -1)
    ('Kitten', 'Senior', '')
    """
    if stage < 0:
        return ""
    return "Kitten" if species == "Cats" and stage == 0 else STAGES[stage]


DOG_FITS: Final = (Fit("Small", (0,)), Fit("Medium", (1,)), Fit("Large", (2,)))
BREED_FITS: Final = (Fit("Small Breed", (0,)), Fit("Large Breed", (2,)), Fit("", (0, 1, 2)))
TANK_FITS: Final = (
    Fit("for 5-Gallon Tanks", (0,)),
    Fit("for 10-Gallon Tanks", (1,)),
    Fit("for 20-Gallon Tanks", (2,)),
    Fit("for 40-Gallon Tanks", (3,)),
)
BIRD_FITS: Final = (Fit("for Parakeets", (0,)), Fit("for Cockatiels", (1,)), Fit("for Parrots", (2,)))
SMALL_FITS: Final = (Fit("for Hamsters", (0,)), Fit("for Guinea Pigs", (1,)), Fit("for Rabbits", (2,)))
REPTILE_FITS: Final = (
    Fit("for Geckos", (0,)), Fit("for Bearded Dragons", (1,)), Fit("for Chameleons", (2,)), Fit("for Turtles", (3,)),
)  # fmt: skip

DOG_FLAVOURS: Final = (
    "Chicken & Brown Rice", "Beef & Barley", "Lamb & Rice", "Salmon & Sweet Potato", "Turkey & Oatmeal", "Duck & Potato",
    "Venison & Pea", "Whitefish & Lentil", "Bison & Squash", "Pork & Apple",
)  # fmt: skip
CAT_FLAVOURS: Final = (
    "Salmon", "Chicken", "Tuna", "Turkey", "Duck", "Ocean Whitefish", "Rabbit", "Chicken & Liver", "Trout", "Beef",
)  # fmt: skip
TREAT_FLAVOURS: Final = (
    "Peanut Butter", "Bacon", "Beef", "Chicken", "Sweet Potato", "Pumpkin", "Cheddar", "Blueberry", "Duck", "Salmon",
)  # fmt: skip
COLOURS: Final = (
    "Black", "Slate Gray", "Navy", "Forest Green", "Teal", "Red", "Mustard", "Blush Pink", "Plum", "Sand", "Sky Blue", "Orange",
)  # fmt: skip
SCENTS: Final = ("Unscented", "Fresh Linen", "Lavender", "Green Tea", "Baking Soda", "Cedar")

SUMMER_PESTS: Final = (0.03, 0.04, 0.15, 0.55, 0.9, 1.0, 1.0, 0.95, 0.65, 0.25, 0.06, 0.03)
WINTER_WEAR: Final = (0.75, 0.35, 0.1, 0.03, 0.01, 0.01, 0.01, 0.02, 0.15, 0.55, 1.0, 0.95)
CHRISTMAS: Final = (0.02, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.03, 0.45, 1.0)
HALLOWEEN: Final = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.02, 0.3, 1.0, 0.02, 0.0)
HOT_DAYS: Final = (0.02, 0.02, 0.05, 0.1, 0.4, 0.9, 1.0, 0.8, 0.25, 0.05, 0.02, 0.02)
TOY_MONTHS: Final = (0.45, 0.4, 0.4, 0.4, 0.45, 0.45, 0.45, 0.4, 0.4, 0.45, 0.7, 1.0)
COLD_MONTHS: Final = (0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.15, 0.2, 0.45, 0.8, 1.0, 0.95)
BATH_MONTHS: Final = (0.4, 0.45, 0.6, 0.8, 0.95, 1.0, 0.95, 0.9, 0.7, 0.55, 0.4, 0.4)
