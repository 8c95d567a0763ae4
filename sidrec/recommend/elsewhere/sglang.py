"""SGLang: a custom logit processor (``sglang.srt.sampling.custom_logit_processor``; SGLang 0.5).

The server needs ``--enable-custom-logit-processor``, and ``--disable-overlap-schedule``: with overlap the tokens that a
processor is shown may lack the last one, and a constraint that reads them is then a step behind. The model's folder is named to
the server by the variable SIDREC_MODEL; a request carries ``SidLogitProcessor.to_str()`` and ``custom_params``: ``{}``, or
``{"sid_items": ["P1", "P2"]}``.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidrec.errors import ConfigError
from sidrec.recommend.elsewhere.constraint import SidConstraint

MODEL_VARIABLE = "SIDREC_MODEL"


@cache
def _constraint(model: str, device: str) -> SidConstraint:
    return SidConstraint.load(Path(model), device=device)


def _make() -> type:
    from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor

    class SidLogitProcessor(CustomLogitProcessor):  # type: ignore[misc]
        """Stateless; SGLang makes one without arguments from what the request carries."""

        def __call__(self, logits: Tensor, custom_param_list: list[dict[str, Any]] | None = None) -> Tensor:
            folder = os.environ.get(MODEL_VARIABLE)
            if not folder:
                raise ConfigError(f"the variable {MODEL_VARIABLE} must name the model's folder where the server runs")
            constraint = _constraint(folder, str(logits.device))
            known = set(constraint.item_ids)
            for row, params in enumerate(custom_param_list or []):
                if not params or "__req__" not in params:
                    continue
                request = params["__req__"]
                tail = torch.tensor([constraint.tail(list(request.origin_input_ids), list(request.output_ids))])
                sums = None
                if params.get("sid_items") is not None:
                    kept = [item for item in params["sid_items"] if item in known]
                    sums = torch.from_numpy(constraint.alive(kept)) if kept else torch.zeros(len(known) + 1, dtype=torch.int32)
                    sums = sums.to(logits.device)
                constraint.mask_(logits[row : row + 1], tail.to(logits.device), sums)
            return logits

    SidLogitProcessor.__qualname__ = "SidLogitProcessor"  # sent by this name, not as code
    return SidLogitProcessor


def __getattr__(name: str) -> type:
    if name != "SidLogitProcessor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = _make()
    return made
