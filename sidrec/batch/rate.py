"""How fast a long job goes, and what that says, and does not say, about a longer one."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rate:
    """Units a second, measured once every worker is warm: from the moment that each has (on average) ended one part.

    Opening a model and the first part (allocations, caches) are slower than the rest, and a longer job has them once as well.

    >>> now = iter([0.0, 9.0, 10.0, 12.0, 14.0]).__next__
    >>> rate = Rate(workers=2, clock=now)
    >>> for _ in range(4): rate.add(100)
    >>> rate.per_second, rate.measured, rate.warm_up
    (50.0, 200, 200)
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._workers = clock, workers
        self._began = self._last = clock()
        self._parts = 0
        self.measured = 0  # units since all were warm
        self.warm_up = 0  # units before

    def add(self, units: int) -> None:
        """A part of so many units is done."""
        self._last = self._clock()
        self._parts += 1
        if self._parts <= self._workers:
            self.warm_up += units
            self._warm = self._last
        else:
            self.measured += units

    @property
    def per_second(self) -> float:
        """Warm units a second; where nothing was done warm, all units since the start."""
        if self.measured:
            return self.measured / max(self._last - self._warm, 1e-9)
        return self.warm_up / max(self._last - self._began, 1e-9)

    def sentence(self, what: str, many: int) -> str:
        """The rate, how it was measured, and (where it was measured warm) how long ``many`` would take at it."""
        rate, workers = self.per_second, f"{self._workers} worker{'s' if self._workers != 1 else ''}"
        if not self.measured:
            return f"{rate:,.0f} {what}/s with {workers}, start included: too few {what} to tell the steady rate"
        basis = f"measured on {self.measured:,} {what} after a warm-up of {self.warm_up:,}"
        longer = f"{many:,} {what} take {span(many / rate)} on this machine"
        return f"{rate:,.0f} {what}/s with {workers} ({basis}); at this rate {longer}"


def span(seconds: float) -> str:
    """
    >>> span(42), span(1500), span(9000)
    ('42 s', '25 min', '2.5 h')
    """
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
