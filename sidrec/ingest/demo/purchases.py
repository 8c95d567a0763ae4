"""What a household buys, and when: things used up and bought again, things that lead to others, seasons and whims."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from sidrec.ingest.demo.brands import BRANDS
from sidrec.ingest.demo.draws import Draws
from sidrec.ingest.demo.households import Household, draw_household
from sidrec.ingest.demo.shelves import KIND_OF, KINDS, KINDS_OF_SPECIES
from sidrec.ingest.demo.world import DAYS, MONTH_OF_DAY, Floats, Ints, Shelf, World

MOST_PURCHASES: Final = 60
Purchase = tuple[float, int]  # day, position in the catalogue
# Set so that a mean history has 10 to 14 purchases, a fifth to a quarter of them repeats of an earlier one: the shares
# of households that buy a kind here, against the tables' figures, and the pace of what is not used up.
_REFILLS, _EXTRAS, _RATE = 0.48, 2.3, 1.45
_SIBLING: Final = 0.55  # who does not buy the same again stays in the family: another flavour or size
_WHIM: Final = 0.035  # chance that an order has something in it that nobody needed
_AGAIN_TOO_SOON: Final = 150.0  # days in which a thing that lasts is not bought twice
_MINUTE: Final = 1.0 / 1440.0
_LOOKS: Final = 12  # at the shelf, before a household gives up
_VARIETY: Final = 0.8  # chance to pass over a flavour known already, when looking for another
_NOT_TWICE: Final = 0.95  # chance to pass over a thing that lasts and is owned
_GIFTS: Final = (0.1, 0.15, 0.1, 0.15, 0.2, 0.15, 0.1, 0.1, 0.15, 0.25, 0.7, 1.0)
_THENS: Final = tuple(tuple((KIND_OF[then.slug], then) for then in kind.then) for kind in KINDS)


class Shopper:
    """One household at the shop. A due thing waits for the next order, so things due together come together."""

    def __init__(self, world: World, home: Household, draws: Draws) -> None:
        self._world, self._home, self._draws = world, home, draws
        self._due: list[tuple[float, int, int, int, bool, float]] = []  # day, number, pet, kind, comes back, chance
        self._count = 0
        self._running: set[tuple[int, int]] = set()  # pet, kind: is bought again by itself
        self._last: dict[tuple[int, int], tuple[float, int]] = {}  # day and product of the last purchase
        self._brand: dict[tuple[int, int], int] = {}  # the maker whose device is in the house
        self._wishes: dict[tuple[int, int, int, int], tuple[Floats, Floats]] = {}
        self._bought: set[int] = set()

    def purchases(self) -> list[Purchase]:
        """All purchases in time order: 1 to ``MOST_PURCHASES``."""
        for at, resident in enumerate(self._home.pets):
            if resident.arrives < self._home.leaves:
                self._settle(at)
        made: list[Purchase] = []
        clock = -1.0
        while self._due and len(made) < MOST_PURCHASES:
            day, _, pet, kind, again, chance = heapq.heappop(self._due)
            if day >= self._home.leaves:
                break
            product = self._choose(pet, kind, day) if not made or self._draws.chance(chance) else -1
            if again:
                self._plan_next(pet, kind, day, product)
            if product < 0:
                continue
            if int(day) > clock:
                clock = self._time_of_day(day)
                if self._draws.chance(_WHIM):
                    made.append((clock, self._anything(day)))
            clock += _MINUTE * (0.3 + self._draws.exponential(2.0))
            made.append((clock, product))
            self._last[pet, kind] = (day, product)
            self._bought.add(product)
            self._complements(pet, kind, product, day)
        if not made:
            day = self._home.joins
            for _ in range(1 if self._home.pets else 5 + self._draws.below(9)):
                made.append((self._time_of_day(day), self._anything(day)))
                day = self._in_season(_GIFTS, day + self._draws.exponential(25.0), 25.0)
                if day >= DAYS:
                    break
            made.sort()
        return made[:MOST_PURCHASES]

    def _settle(self, at: int) -> None:
        """Plan what a pet needs: everything where it is new, the next refill where it has lived here for long."""
        pet, draws = self._home.pets[at], self._draws
        baby = pet.stage(pet.arrives) == 0
        refills = 0
        for kind in KINDS_OF_SPECIES[pet.species]:
            of = KINDS[kind]
            if of.baby_only and not baby:
                continue
            if pet.new and draws.chance(of.start):
                self._push(pet.arrives + draws.between(0.0, 9.0) * (1.0 - 0.9 * of.start), at, kind, False, self._eager)
            if draws.chance(of.adopt * (_REFILLS if of.used_up else _EXTRAS)):
                first = of.packs[len(of.packs) // 2].days
                wait = draws.between(3.0, first) if of.used_up else draws.exponential(of.every / _RATE)
                self._start(pet.arrives + wait, at, kind, self._home.share)
                refills += of.used_up
        if not refills:  # nobody registers at a shop to buy nothing twice
            staple = max(KINDS_OF_SPECIES[pet.species], key=lambda kind: KINDS[kind].adopt)
            self._start(pet.arrives + draws.between(3.0, 40.0), at, staple, self._home.share)

    @property
    def _eager(self) -> float:
        """Chance that what belongs together is bought in one shop: higher than that of a mere refill."""
        return math.sqrt(self._home.share)

    def _start(self, day: float, pet: int, kind: int, chance: float) -> None:
        if (pet, kind) not in self._running:
            self._running.add((pet, kind))
            self._push(self._next_season(kind, day), pet, kind, True, chance)

    def _push(self, day: float, pet: int, kind: int, again: bool, chance: float) -> None:
        home = self._home
        order = home.phase + math.ceil((day - home.phase) / home.gap) * home.gap
        self._count += 1
        if order < home.leaves:
            heapq.heappush(self._due, (order, self._count, pet, kind, again, chance))

    def _plan_next(self, pet: int, kind: int, day: float, product: int) -> None:
        of, draws = KINDS[kind], self._draws
        if of.baby_only and self._home.pets[pet].stage(day) > 0:
            return
        if not of.used_up:
            wait = draws.exponential(of.every / _RATE)
        else:
            middle = of.packs[len(of.packs) // 2].days  # what was bought elsewhere this time, for all we know
            days = self._world.catalogue[product].days if product >= 0 else middle
            wait = max(5.0, days / self._home.pets[pet].appetite * math.exp(0.18 * draws.normal()))
        self._push(self._next_season(kind, day + wait), pet, kind, True, self._home.share)

    def _next_season(self, kind: int, day: float) -> float:
        months = KINDS[kind].months
        return self._in_season(months, day, KINDS[kind].every or 18.0) if months else day

    def _in_season(self, months: Sequence[float], day: float, step: float) -> float:
        """The first accepted day: a Poisson process at the peak's rate, thinned by the month's weight."""
        while day < DAYS and not self._draws.chance(months[MONTH_OF_DAY[max(int(day), 0)]]):
            day += self._draws.exponential(step)
        return day

    def _choose(self, at: int, kind: int, day: float) -> int:
        """A product (its position in the catalogue) for a pet; -1 where nothing is to be had."""
        shelf = self._world.shelves[kind]
        if shelf is None:
            return -1
        pet, draws = self._home.pets[at], self._draws
        stage = pet.stage(day)
        weights, cumulative = self._wish(shelf, at, kind, stage)
        if KINDS[kind].used_up and (at, kind) in self._last:
            last = self._last[at, kind][1]
            if self._world.catalogue[last].stage in (-1, stage):
                if draws.chance(self._home.loyalty):
                    return last
                if draws.chance(_SIBLING):
                    family = shelf.family == self._world.catalogue[last].family
                    found = self._draw(shelf.products[family], np.cumsum(weights[family]), day, _VARIETY)
                    return found if found >= 0 else last
        return self._draw(shelf.products, cumulative, day, _VARIETY if KINDS[kind].used_up else _NOT_TWICE)

    def _wish(self, shelf: Shelf, at: int, kind: int, stage: int) -> tuple[Floats, Floats]:
        """Weights and cumulative weights of a shelf for a pet, computed once for each stage of its life."""
        pet, brand = self._home.pets[at], self._brand.get((at, kind), -1)
        key = (at, kind, stage, brand)
        found = self._wishes.get(key)
        if found is None:
            pack = self._home.bulk + 0.8 * math.log2(pet.appetite)
            logs = shelf.log_weights(pet.taste, stage, pet.size, pet.diet, pack, brand)
            weights = np.exp(logs - logs.max())
            found = self._wishes[key] = (weights, np.cumsum(weights))
        return found

    def _draw(self, products: Ints, cumulative: Floats, day: float, avoid: float) -> int:
        """One of the products by weight; -1 where all that was looked at is not yet sold, or known and passed over."""
        for _ in range(_LOOKS):
            place = int(np.searchsorted(cumulative, self._draws.uniform() * cumulative[-1], side="right"))
            product = int(products[min(place, len(products) - 1)])
            if self._world.launch[product] <= day and not (product in self._bought and self._draws.chance(avoid)):
                return product
        return -1

    def _complements(self, pet: int, kind: int, product: int, day: float) -> None:
        """Plan what goes with a purchase, unless it is in the house already."""
        for other, then in _THENS[kind]:
            if (pet, other) in self._running and not then.same_brand:
                continue
            if not self._draws.chance(then.chance):
                continue
            if then.same_brand:
                self._brand[pet, other] = self._world.catalogue[product].brand
            bought = self._last.get((pet, other))
            if bought is not None and day - bought[0] < _AGAIN_TOO_SOON:
                continue
            wait = self._draws.between(then.soonest, then.latest)
            if not KINDS[other].used_up:
                self._push(day + wait, pet, other, False, self._eager)
            else:
                self._start(day + wait, pet, other, self._eager)

    def _time_of_day(self, day: float) -> float:
        """Between 7 in the morning and 11 at night, most of all in the evening."""
        hour = 7.0 + 16.0 * max(self._draws.uniform(), self._draws.uniform())
        return int(day) + hour / 24.0

    def _anything(self, day: float) -> int:
        """Something well known, for whatever animal."""
        fame = self._world.fame
        while True:
            product = min(int(np.searchsorted(fame, self._draws.uniform(), side="right")), len(fame) - 1)
            if self._world.launch[product] <= day:
                return product


def simulate_purchases(world: World, customers: int, seed: int) -> list[list[Purchase]]:
    """The purchases of each customer, in time order."""
    people, choices = Draws(seed, 3), Draws(seed, 4)
    return [Shopper(world, draw_household(people, len(BRANDS), world.n_accents), choices).purchases() for _ in range(customers)]
