"""The makers: invented names, what they make, how dear they are, and one sentence each about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidrec.ingest.demo.kinds import SPECIES, Department, Species

_SHORT: Final[dict[str, Species]] = dict(zip("dcfbsr", SPECIES, strict=True))
_PARTS: Final[dict[str, Department]] = {"F": "food", "G": "gear", "C": "care", "H": "habitat"}


@dataclass(frozen=True, slots=True)
class Brand:
    """``tier`` is the price position: -1 budget, 0 middle, 1 premium. ``share`` is its weight on the shelf."""

    name: str
    species: frozenset[Species]
    departments: frozenset[Department]
    tier: float
    share: float
    story: str
    series: tuple[str, ...]


def _brand(name: str, makes: str, tier: float, share: float, story: str, *series: str) -> Brand:
    """``makes`` abbreviates: lower-case letters are species (dcfbsr), upper-case ones departments (FGCH)."""
    species = frozenset(_SHORT[letter] for letter in makes if letter.islower())
    departments = frozenset(_PARTS[letter] for letter in makes if letter.isupper())
    return Brand(name, species, departments, tier, share, story, series)


BRANDS: Final[tuple[Brand, ...]] = (
    _brand("Whisker & Co", "cFGC", 0.2, 9, "A small company that makes things for cats only.", "Hearth", "Moonlight", "Garden"),
    _brand("Barkwell", "dFC", 0.0, 10, "Three generations of bakers who keep dogs.", "Everyday", "Harvest", "Active"),
    _brand("Oak & Paw", "dcFGC", 0.6, 7, "Made in small numbers from plain materials.", "Heritage", "Orchard", "Field"),
    _brand("Northmeadow", "dcF", 0.8, 6, "Fish and meat from places with a name.", "Wild Coast", "Prairie", "Fjord"),
    _brand("PennyPet", "dcfbsrFGCH", -0.9, 6, "Honest things at a low price.", "Basics", "Value"),
    _brand("Purrington", "cFC", 0.3, 7, "Recipes are tried by forty cats before they are sold.", "Parlour", "Select", "Light"),
    _brand("Hollow Creek", "dcF", 0.1, 6, "Cooked in a mill beside a creek.", "Stone Mill", "Trail", "Homestead"),
    _brand("TailTrust Vet", "dcFC", 0.9, 5, "Developed with animal nutritionists.", "Clinic", "Balance"),
    _brand("Grandma Fern's", "dcsbF", 0.2, 4, "Old kitchen recipes, with less salt.", "Sunday", "Kitchen"),
    _brand("Copper Kettle Pets", "dcF", -0.2, 4, "Simmered slowly, sold simply.", "Stovetop", "Family"),
    _brand("Mossy Trail", "dFG", 0.4, 5, "For dogs that come home muddy.", "Summit", "Ridge", "River"),
    _brand("Little Mercy", "dcFC", 0.0, 3, "A tenth of the profit goes to shelters.", "Gentle", "Kind"),
    _brand("Bravehound", "dG", 0.3, 7, "Sewn to be pulled, dragged and washed.", "Expedition", "City", "Classic"),
    _brand("Tugster", "dG", -0.1, 7, "Toys tested by a pack of nine terriers.", "Tough", "Play", "Jumbo"),
    _brand("Velvet Snout", "dcG", 0.9, 4, "Designed like furniture, made for animals.", "Atelier", "Lounge", "Loft"),
    _brand("Snugpaws", "dcG", -0.2, 6, "Soft things for long naps.", "Cloud", "Cozy", "Dream"),
    _brand("Ruff Weather", "dG", 0.4, 5, "Clothing for dogs, cut by a mountain tailor.", "Alpine", "Drizzle", "Polar"),
    _brand("Catopia", "cG", 0.1, 7, "Furniture that cats choose themselves.", "Jungle", "Studio", "Classic"),
    _brand("Feather & Fern", "cbG", 0.0, 5, "Play as nature meant it.", "Flutter", "Forest", "Sky"),
    _brand("Mouse House", "cG", -0.5, 5, "Cheap, cheerful and full of catnip.", "Party", "Pocket"),
    _brand("Clover & Clay", "cC", 0.2, 6, "Litter and care without perfume clouds.", "Pure", "Active", "Multi-Cat"),
    _brand("FreshDen", "dcsC", -0.3, 6, "A clean house with animals in it.", "Daily", "Ultra", "Eco"),
    _brand("Dr. Willow", "dcbsrFC", 0.5, 6, "Founded by a country vet.", "Care", "Support", "Daily"),
    _brand("Soothe & Shine", "dcC", 0.3, 5, "Grooming products by people who groom.", "Salon", "Spa", "Home"),
    _brand("Pestaway", "dcC", 0.1, 6, "Nothing but parasite control since the first day.", "Guard", "Shield", "Plus"),
    _brand("Wash & Wag", "dC", -0.4, 4, "Simple grooming for every day.", "Simple", "Fresh"),
    _brand("Tidewater", "fFHC", 0.4, 9, "Aquarium makers by a cold sea.", "Lagoon", "Reef", "Harbour"),
    _brand("ClearFin", "fHC", -0.1, 8, "Clear water with little work.", "Easy", "Pro", "Nano"),
    _brand("AquaNook", "fHF", -0.5, 6, "Small tanks for small rooms.", "Mini", "Starter"),
    _brand("Bluebrook", "fHCF", 0.7, 5, "For aquarists who plant before they stock.", "Botanic", "Scape", "Riffle"),
    _brand("Gill & Glow", "fFCH", 0.0, 5, "Food and light for colour.", "Vivid", "Bloom"),
    _brand("Songbough", "bFGC", 0.3, 8, "For birds that are part of the family.", "Canopy", "Dawn", "Aviary"),
    _brand("Perchwood", "bGHC", 0.0, 7, "Turned and bolted by hand.", "Branch", "Grove", "Roost"),
    _brand("Featherstead", "bHFC", -0.3, 6, "Sturdy homes and plain seed.", "Nest", "Village"),
    _brand("Chirp Kitchen", "bF", 0.5, 4, "Blended in small lots, dated by hand.", "Harvest", "Garden"),
    _brand("Little Burrow", "sFCHG", 0.2, 9, "For animals that dig.", "Meadow", "Warren", "Nibble"),
    _brand("Clover Hutch", "sHGFC", -0.1, 7, "Homes and hay from one valley.", "Cottage", "Valley", "Barn"),
    _brand("Timothy & Sons", "sF", 0.5, 6, "A hay farm, nothing else.", "First Cut", "Second Cut", "Golden"),
    _brand("Nibblewick", "sGFC", -0.3, 5, "Wood, grass and good ideas.", "Chew", "Play"),
    _brand("Sunrock", "rHFGC", 0.2, 9, "Keepers of desert animals since their school days.", "Mojave", "Basking", "Dune"),
    _brand("Scale & Stone", "rHGC", 0.5, 6, "Terrariums that look like a place.", "Canyon", "Rainforest", "Natural"),
    _brand("HerpHaus", "rHFC", -0.3, 6, "Sound equipment without frills.", "Basic", "Pro"),
    _brand("Emberlight", "rfH", 0.1, 5, "Lamps and heat, tested for a thousand hours.", "Solar", "Day", "Night"),
    _brand("Greencrest Naturals", "dcsbrFC", 0.6, 5, "Short lists of ingredients, in plain words.", "Root", "Leaf", "Pure"),
    _brand("Waggery", "dFG", 0.1, 5, "Gifts and rewards for good dogs.", "Treat Shop", "Bakery", "Party"),
    _brand("Ninth Life", "cFG", 0.5, 4, "For cats with opinions.", "Noir", "Royal", "Heirloom"),
    _brand("Homeward", "dcsbGHC", -0.1, 6, "Useful things for a house with pets.", "Everyday", "Travel", "Compact"),
    _brand("Juniper Pup", "dGFC", 0.3, 4, "For the first year and what comes after.", "First Steps", "Big Kid"),
)  # fmt: skip


def makers(species: Species, department: Department) -> tuple[int, ...]:
    """Positions in ``BRANDS`` of those that make such things."""
    return tuple(i for i, brand in enumerate(BRANDS) if species in brand.species and department in brand.departments)
