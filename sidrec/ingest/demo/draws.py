"""Single random draws from a numpy generator, drawn in blocks.

A scalar call of ``Generator`` costs 1 to 4 microseconds; a float out of a list drawn in advance costs a twentieth. The
simulator makes millions of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 1 << 13


class Draws:
    """The stream of one purpose: another purpose with the same seed draws other numbers.

    >>> Draws(0, 1).uniform() == Draws(0, 1).uniform()
    True
    """

    def __init__(self, seed: int, purpose: int) -> None:
        self.generator = np.random.default_rng([seed, purpose])
        self.uniform = self._blocks().__next__  # in [0, 1)

    def _blocks(self) -> Iterator[float]:
        while True:
            yield from self.generator.random(_BLOCK).tolist()

    def chance(self, p: float) -> bool:
        return self.uniform() < p

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        return int(self.uniform() * n)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.uniform()

    def choice(self, options: Sequence[T]) -> T:
        return options[int(self.uniform() * len(options))]

    def exponential(self, mean: float) -> float:
        return -mean * math.log(1.0 - self.uniform())

    def normal(self) -> float:
        """Standard normal (Box and Muller, one of the pair)."""
        return math.sqrt(-2.0 * math.log(1.0 - self.uniform())) * math.cos(2.0 * math.pi * self.uniform())

    def weighted(self, weights: Sequence[float]) -> int:
        """A position, with a chance in proportion to its weight."""
        at = self.uniform() * sum(weights)
        for i, weight in enumerate(weights):
            at -= weight
            if at < 0.0:
                return i
        return len(weights) - 1

    def sample(self, n: int, k: int) -> list[int]:
        """``min(n, k)`` different integers in [0, n), in random order."""
        if n <= 4 * k:
            pool = list(range(n))
            for i in range(min(n, k)):
                j = i + self.below(n - i)
                pool[i], pool[j] = pool[j], pool[i]
            return pool[:k]
        found: dict[int, None] = {}
        while len(found) < k:
            found[self.below(n)] = None
        return list(found)
