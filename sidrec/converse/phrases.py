"""A shopper's request made from catalogue attributes: "senior grain-free dry food for cats"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]{3,}(?:['-][^\W\d_]+)*")
_KEPT = 12  # words an item: those of the title first
_COMMON = 0.4  # a word in more than this share of the items tells nothing
_EMPTY_WORDS = frozenset(
    """and are all any but can each for from has have her his in into is it its more most new not of off on one or our out
    per set so than that the their this to two up use used very was we with you your by at as be an if no
    about also both first less made only when without
    pack packs piece pieces pcs count size oz fl lb lbs ml kg mm cm inch inches ounce ounces pound pounds""".split()  # noqa: SIM905  (readable)
)
_NICE_PRICES = (5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)


def attribute_words(texts: Sequence[str], brands: Sequence[str]) -> list[tuple[str, ...]]:
    """For each text the lower-case words that describe it and that at least one other text has.

    A word of a single item is its name; one that two fifths of the items share is noise. An empty text has no words and
    counts for nothing.
    """
    words_of = [list(dict.fromkeys(_WORD.findall(text.lower()))) for text in texts]
    counts = Counter(word for words in words_of for word in words)
    most = max(2.0, _COMMON * sum(1 for words in words_of if words))
    found: list[tuple[str, ...]] = []
    for words, brand in zip(words_of, brands, strict=True):
        own = set(_WORD.findall(brand.lower()))
        useful = [w for w in words if 2 <= counts[w] <= most and w not in _EMPTY_WORDS and w not in own]
        found.append(tuple(useful[:_KEPT]))
    return found


def shopper_request(words: Sequence[str], narrow: str, broad: Sequence[str], brand: str, price: float | None, draw: int) -> str:
    """One request; ``draw`` (a large random integer) decides words and form.

    >>> shopper_request(("senior", "grain-free"), "Dry Food", ["Cats"], "", None, draw=3)
    'senior grain-free dry food for cats'
    """
    narrow = narrow.lower()
    draw, chosen = _some(tuple(w for w in words if w not in narrow.split()), draw)
    forms = [" ".join((*chosen, narrow)).strip()]
    wide = [level.lower() for level in broad if level.lower() not in narrow]  # no "dry food for food"
    if narrow and wide:
        draw, at = divmod(draw, len(wide))
        forms.append(f"{forms[0]} for {wide[at]}")
    if narrow and chosen:
        forms.append(", ".join((narrow, *chosen)))
    if brand:
        forms.append(f"{forms[0]} by {brand}")
    if price is not None and price <= _NICE_PRICES[-1]:
        forms.append(f"{forms[0]} under {next(limit for limit in _NICE_PRICES if limit >= price)}")
    return forms[draw % len(forms)]


def _some(words: tuple[str, ...], draw: int) -> tuple[int, list[str]]:
    """Two to four of the words in their own order, and what is left of ``draw``."""
    draw, count = divmod(draw, 3)
    left = list(range(len(words)))
    while len(left) > count + 2:
        draw, at = divmod(draw, len(left))
        del left[at]
    return draw, [words[at] for at in left]
