"""A few customers side by side: what they bought, what each system said, what they bought next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidrec.evaluate.outcomes import MODEL, NextItemOutcome
from sidrec.evaluate.suite import COOCCURRENCE

_SHOWN_HISTORY, _SHOWN_RANKED = 8, 5


@dataclass(frozen=True, slots=True)
class Shown:
    """An item as a person sees it; ``hit``: it is what the customer bought."""

    title: str
    hit: bool


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer. ``history``: the latest titles, oldest first, with ``earlier`` more before them; ``lists``: by system."""

    user: str
    history: tuple[str, ...]
    earlier: int
    truth: str
    lists: tuple[tuple[str, tuple[Shown, ...]], ...]


def pick_customers(outcome: NextItemOutcome, titles: Sequence[str], seed: int, n: int = 6) -> list[Customer]:
    """``n`` customers drawn by the seed, not picked for how they came out; model and co-occurrence, five items each.

    ``titles``: N titles, untrusted.
    """
    rng = np.random.default_rng([seed, 0xC057])
    drawn = np.sort(rng.choice(len(outcome.users), size=min(n, len(outcome.users)), replace=False))
    systems = [name for name in (MODEL, COOCCURRENCE) if name in outcome.ranked]
    customers = []
    for row in drawn.tolist():
        history, truth = outcome.histories[row], int(outcome.truth[row])
        lists = []
        for name in systems:
            items = [item for item in outcome.ranked[name][row, :_SHOWN_RANKED].tolist() if item >= 0]
            lists.append((name, tuple(Shown(titles[item], item == truth) for item in items)))
        latest = tuple(titles[item] for item in history[-_SHOWN_HISTORY:])
        customers.append(Customer(outcome.users[row], latest, len(history) - len(latest), titles[truth], tuple(lists)))
    return customers
