"""All kinds of products, and how many of each the shop sells."""

from __future__ import annotations

from typing import Final

from sidrec.ingest.demo.cats import CATS
from sidrec.ingest.demo.dogs_eat import DOG_EAT
from sidrec.ingest.demo.dogs_gear import DOG_GEAR
from sidrec.ingest.demo.fish import FISH
from sidrec.ingest.demo.kinds import SPECIES, Kind
from sidrec.ingest.demo.others import BIRDS, SMALL
from sidrec.ingest.demo.reptiles import REPTILES

KINDS: Final[tuple[Kind, ...]] = (*DOG_EAT, *DOG_GEAR, *CATS, *FISH, *BIRDS, *SMALL, *REPTILES)
KIND_OF: Final[dict[str, int]] = {kind.slug: i for i, kind in enumerate(KINDS)}
KINDS_OF_SPECIES: Final = tuple(tuple(i for i, kind in enumerate(KINDS) if kind.species == s) for s in SPECIES)


def products_per_kind(products: int) -> list[int]:
    """How many products each kind gets; the numbers add up to ``products``.

    A small shop sells one of each of the weightier kinds before it sells a second of any; a large one follows the
    weights.

    >>> sum(products_per_kind(60)), sum(products_per_kind(2000)), min(products_per_kind(2000)) >= 5
    (60, 2000, True)
    """
    order = sorted(range(len(KINDS)), key=lambda i: (-KINDS[i].weight, i))
    counts = [0] * len(KINDS)
    for i in order[: products // 2]:
        counts[i] = 1
    left = products - sum(counts)
    total = sum(KINDS[i].weight for i in order if counts[i])
    exact = {i: left * KINDS[i].weight / total for i in order if counts[i]}
    for i, share in exact.items():
        counts[i] += int(share)
    by_rest = sorted(exact, key=lambda i: (int(exact[i]) - exact[i], i))
    for i in by_rest[: products - sum(counts)]:
        counts[i] += 1
    return counts
