"""A corpus and its semantic IDs, as the task builders want them: plain lists, one entry an item."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.converse.phrases import attribute_words
from sidrec.errors import DataError
from sidrec.types import Corpus, ItemCodes, SidText
from sidrec.vocabulary import SID_START, SidVocabulary

PROMPT_WORDS = 60  # longest description or features in a prompt
ANSWER_WORDS = 30  # longest description or features in an answer: about 40 tokens, what evaluation generates
CATEGORY_LEVELS = 3  # the narrowest levels of a category path


def first_words(text: str, count: int) -> str:
    """The first ``count`` words, never a part of one.

    >>> first_words("a fine brush", 2)
    'a fine'
    """
    return " ".join(text.split(maxsplit=count)[:count])


@dataclass(frozen=True)
class Shop:
    """Texts and semantic IDs of all items. What a task may *use* is decided by ``View.items``."""

    corpus: Corpus
    codes: ItemCodes

    def __post_init__(self) -> None:
        if self.corpus.n_items != self.codes.n_items:
            raise DataError(
                f"the corpus has {self.corpus.n_items} items, the codes have {self.codes.n_items}: "
                "they are of different runs; run `sidrec quantize` again"
            )

    @cached_property
    def warm(self) -> NDArray[np.int32]:
        """Items whose text may be learned from."""
        return np.flatnonzero(~self.corpus.cold).astype(np.int32)

    @cached_property
    def cold(self) -> list[bool]:
        return self.corpus.items[c.COLD].to_list()

    @cached_property
    def sids(self) -> list[SidText]:
        vocabulary = SidVocabulary(self.codes.sizes, first_id=0)  # only to spell: ids play no part
        return [vocabulary.spell(row) for row in self.codes.codes.tolist()]

    def spell(self, items: list[int]) -> SidText:
        """Several semantic IDs behind each other."""
        return SidText("".join([self.sids[item] for item in items]))

    @cached_property
    def titles(self) -> list[str]:
        return self.corpus.items[c.TITLE].to_list()

    @cached_property
    def descriptions(self) -> list[str]:
        """Whole descriptions."""
        return self.corpus.items[c.DESCRIPTION].to_list()

    @cached_property
    def features(self) -> list[str]:
        """All features of an item in one text."""
        return ["; ".join(features) for features in self.corpus.items[c.FEATURES].to_list()]

    @cached_property
    def brands(self) -> list[str]:
        return self.corpus.items[c.BRAND].to_list()

    @cached_property
    def prices(self) -> list[float | None]:
        return self.corpus.items[c.PRICE].to_list()

    @cached_property
    def paths(self) -> list[list[str]]:
        """Category paths, the broadest first."""
        return self.corpus.items[c.CATEGORY].to_list()

    @cached_property
    def categories(self) -> list[str]:
        """The narrow end of each path in one text; empty where there is none."""
        return [" > ".join(path[-CATEGORY_LEVELS:]) for path in self.paths]

    @cached_property
    def price_limits(self) -> tuple[float, float]:
        """Below the first a price is low, above the second it is high: thirds of the warm items."""
        known = [price for item in self.warm.tolist() if (price := self.prices[item]) is not None]
        low, high = np.quantile(known, (1 / 3, 2 / 3)) if known else (0.0, 0.0)
        return float(low), float(high)

    @cached_property
    def words(self) -> list[tuple[str, ...]]:
        """Words that a shopper may ask with, of the title and the beginning of each feature; empty for cold items.

        A feature says first what it is about ("Grain-free: no wheat, corn or soy"); the words behind are mostly noise.
        """
        texts = [""] * len(self.titles)
        features = self.corpus.items[c.FEATURES].to_list()
        for item in self.warm.tolist():
            texts[item] = " ".join((self.titles[item], *(first_words(feature, 2) for feature in features[item])))
        return attribute_words(texts, self.brands)

    @cached_property
    def broad_levels(self) -> list[list[str]]:
        """The levels above the narrowest, without one that nearly every warm item shares ("Pet Supplies")."""
        roots = Counter(self.paths[item][0] for item in self.warm.tolist() if self.paths[item])
        shared = {root for root, count in roots.items() if count > 0.9 * roots.total()}
        return [[level for level in path[:-1] if level not in shared] for path in self.paths]

    @cached_property
    def prefix_depths(self) -> tuple[int, ...]:
        """Prefixes of one and two codes, as far as there are learned levels."""
        return tuple(range(1, min(2, self.codes.levels - 1) + 1))

    @cached_property
    def groups(self) -> dict[int, dict[tuple[int, ...], list[int]]]:
        """For each depth: prefix -> the warm items that share it, in order."""
        found: dict[int, dict[tuple[int, ...], list[int]]] = {}
        for depth in self.prefix_depths:
            of_depth = found.setdefault(depth, {})
            for item, prefix in zip(self.warm.tolist(), self.codes.codes[self.warm, :depth].tolist(), strict=True):
                of_depth.setdefault(tuple(prefix), []).append(item)
        return found

    def group(self, depth: int, item: int) -> list[int]:
        """Warm items that share the first ``depth`` codes of ``item``, itself among them."""
        return self.groups[depth][tuple(self.codes.codes[item, :depth].tolist())]

    def spell_prefix(self, depth: int, item: int) -> SidText:
        """The beginning of a semantic ID."""
        vocabulary = SidVocabulary(self.codes.sizes, first_id=0)
        return SidText(f"{SID_START}{vocabulary.spell_prefix(self.codes.codes[item, :depth].tolist())}")
