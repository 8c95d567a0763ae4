"""transformers: ``model.generate(..., logits_processor=[SidLogitsProcessor(constraint)])``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LogitsProcessor

from sidrec.recommend.elsewhere.constraint import SidConstraint


class SidLogitsProcessor(LogitsProcessor):
    """For greedy decoding, sampling and beams. ``item_ids``: only these items, for all rows."""

    def __init__(self, constraint: SidConstraint, item_ids: Sequence[str] | None = None) -> None:
        self.constraint = constraint
        self.alive = None if item_ids is None else torch.from_numpy(constraint.alive(item_ids))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids`` ``(B, T)``, prompt included; ``scores`` ``(B, V)``, which are left as they are."""
        tails = input_ids[:, -self.constraint.reach :]
        tails = F.pad(tails, (self.constraint.reach - tails.shape[1], 0), value=-1)
        alive = None if self.alive is None else self.alive.to(scores.device)
        return self.constraint.mask_(scores.clone(), tails, alive)
