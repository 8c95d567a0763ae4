"""Descriptions and bullet points of products, from a small grammar filled with their real attributes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sidrec.ingest.demo import phrases
from sidrec.ingest.demo.brands import BRANDS
from sidrec.ingest.demo.catalogue import Product
from sidrec.ingest.demo.draws import Draws
from sidrec.ingest.demo.kinds import Species, stage_word

_ONE_OF: Final = re.compile(r"\[([^\[\]]*)\]")
_SLOT: Final = re.compile(r"\{(\w+)\}")
_ARTICLE: Final = re.compile(r"\b([Aa]) (?=[aeioAEIO](?!ne\b))")
_PIECES: Final = re.compile(r"[^ -]+|[ -]")
_ANIMALS: Final[dict[Species, str]] = {
    "Dogs": "dog", "Cats": "cat", "Fish": "fish", "Birds": "bird", "Small Animals": "pet", "Reptiles": "reptile",
}  # fmt: skip
_KEPT: Final = frozenset(("Java", "Amazon", "Santa", "Halloween"))


def in_a_sentence(words: str) -> str:
    """A label as it stands inside a sentence.

    >>> in_a_sentence("Chicken & Brown Rice"), in_a_sentence("L-Lysine"), in_a_sentence("Java Fern")
    ('chicken and brown rice', 'L-lysine', 'Java fern')
    """
    pieces = _PIECES.findall(words.replace(" & ", " and "))
    return "".join(w.lower() if w not in _KEPT and w[1:].islower() and not w[0].isdigit() else w for w in pieces)


class Writer:
    """Writes for one product."""

    def __init__(self, draws: Draws, product: Product) -> None:
        self._draws, self._product = draws, product
        kind, brand = product.of, BRANDS[product.brand]
        animal = _ANIMALS[kind.species]
        stage = stage_word(kind.species, product.stage)
        pet = stage.lower() if stage in ("Puppy", "Kitten") else f"{stage} {animal}".strip().lower()
        weeks = round(product.days / 7)
        self._slots = {
            "animal": animal,
            "animals": animal if animal == "fish" else f"{animal}s",
            "eater": "tank" if animal == "fish" else animal,
            "pet": pet,
            "pets": "puppies" if pet == "puppy" else f"{pet}s",
            "brand": brand.name,
            "story": brand.story,
            "story_lower": brand.story[0].lower() + brand.story[1:],
            "style": in_a_sentence(product.word("style")),
            "material": in_a_sentence(product.word("material")),
            "colour": in_a_sentence(product.word("colour")),
            "flavour": in_a_sentence(product.word("flavour")),
            "fit": in_a_sentence(product.fit_label),
            "pack": in_a_sentence(product.pack_label),
            "weeks": f"{weeks} weeks" if weeks > 1 else "a week",
        }

    def fill(self, pattern: str) -> str:
        """One sentence of a pattern."""
        while "[" in pattern:
            pattern = _ONE_OF.sub(lambda found: self._draws.choice(found[1].split("|")), pattern)
        text = _ARTICLE.sub(r"\1n ", _SLOT.sub(lambda found: self._slots[found[1]], pattern))
        return text if text.startswith("pH") else text[0].upper() + text[1:]

    def description(self) -> str:
        """Two to five sentences: what it is, what sets it apart, who made it."""
        kind = self._product.of
        first = 0 if self._draws.chance(0.8) else 1
        says = [kind.says[first]]
        if self._draws.chance(0.6):
            says.append(kind.says[first + 1 + self._draws.below(len(kind.says) - first - 1)])
        about = self._about()
        chosen = [about[i] for i in sorted(self._draws.sample(len(about), 1 + self._draws.below(2)))]
        room = len(says) + len(chosen) < 4
        closing = [self._draws.choice(phrases.CLOSING)] if not chosen or (room and self._draws.chance(0.6)) else []
        return " ".join(self.fill(pattern) for pattern in (*says, *chosen, *closing))

    def features(self) -> list[str]:
        """Three to five bullet points."""
        product, kind = self._product, self._product.of
        own = []
        if product.diet:
            own.append(phrases.DIET_POINT[product.diet])
        if product.stage >= 0:
            own.append(phrases.STAGE_POINT[product.stage])
        if product.days and self._draws.chance(0.5):
            own.append(phrases.PACK_POINT)
        wanted = max(1, 3 + self._draws.below(3) - len(own))
        own += [kind.points[i] for i in self._draws.sample(len(kind.points), wanted)]
        return [self.fill(pattern) for pattern in own]

    def _about(self) -> list[str]:
        """One pattern for each attribute; diet and life stage first, since they decide a purchase."""
        product, kind = self._product, self._product.of
        food = kind.department == "food"
        options: list[Sequence[str]] = []
        if product.diet:
            options.append(phrases.DIET[product.diet])
        if product.stage >= 0:
            by_stage = phrases.STAGE_OF_GEAR if kind.department == "gear" else phrases.STAGE_OF_CARE
            options.append((phrases.STAGE_OF_FOOD if kind.diets else by_stage)[product.stage])
        if product.flavour >= 0 and not food:
            options.append(phrases.UNSCENTED if product.word("flavour") == "Unscented" else phrases.SCENT)
        if product.material >= 0:
            options.append(phrases.MATERIAL)
        if product.colour >= 0:
            options.append(phrases.COLOUR)
        label = product.fit_label
        if label.startswith("for "):
            options.append(phrases.FIT)
        elif label.endswith("Breed"):
            options.append(phrases.BREED)
        elif label in ("Small", "Medium", "Large"):
            options.append(phrases.SIZE)
        if product.days:
            options.append(phrases.PACK)
        return [self._draws.choice(patterns) for patterns in options]
