"""The co-occurrence contrastive loss: items that are bought together get codes that are alike.

Source: PLUM (He et al. 2025), which pulls videos watched together towards each other while the codes are learned; the loss
is InfoNCE (van den Oord et al. 2018) with the rest of the batch as negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sidrec.quantize.behaviour import count_together


@dataclass(frozen=True, slots=True, eq=False)
class Companions:
    """Whom each item was bought with: those of item ``i`` are ``items[starts[i]:starts[i + 1]]``, int32; ``running`` are
    their weights added up, float64, one longer than ``items``."""

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    running: NDArray[np.float64]

    @classmethod
    def of(cls, histories: Sequence[NDArray[np.int32]], n_items: int) -> Companions:
        """From training purchases without cold items: weights as in ``count_together``, over all histories."""
        together = count_together(histories, n_items)
        running = np.concatenate(([0.0], np.cumsum(together.data, dtype=np.float64)))
        return cls(together.indptr.astype(np.int64), together.indices.astype(np.int32), running)

    def draw(self, items: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """For each item one that it was bought with, drawn by weight; -1 where there is none."""
        low, high = self.starts[items], self.starts[items + 1]
        target = self.running[low] + rng.random(len(items)) * (self.running[high] - self.running[low])
        at = np.searchsorted(self.running, target, side="right") - 1
        at = np.clip(at, low, np.maximum(high - 1, low))
        drawn = np.full(len(items), -1, dtype=np.int64)
        known = high > low
        drawn[known] = self.items[at[known]]
        return drawn


def contrastive_loss(
    first_PC: Tensor, second_PC: Tensor, first_items: NDArray[np.int64], second_items: NDArray[np.int64], temperature: float
) -> Tensor:
    """Mean InfoNCE of ``P`` pairs, both ways, by cosine.

    Row ``i`` of the second is the positive of row ``i`` of the first, the other rows are negatives, save those that are the
    pair's own items again.
    """
    scores = F.normalize(first_PC, dim=1) @ F.normalize(second_PC, dim=1).T / temperature
    again = (second_items[:, None] == second_items) | (first_items[:, None] == second_items)
    again |= first_items[:, None] == first_items
    np.fill_diagonal(again, False)
    scores = scores.masked_fill(torch.from_numpy(again).to(scores.device), float("-inf"))
    truth = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, truth) + F.cross_entropy(scores.T, truth)) / 2
