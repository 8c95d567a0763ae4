"""vLLM: ``vllm serve MODEL --logits-processors sidrec.recommend.elsewhere.vllm:SidLogitsProcessor``.

vLLM has two interfaces and refuses a class of the other one. ``SidLogitsProcessor`` is of Model Runner V2 (documented since
vLLM 0.32, ``vllm.v1.worker.gpu.sample.logits_processor``); ``V1SidLogitsProcessor`` of the V1 runner
(``vllm.v1.sample.logits_processor``; older versions, or ``VLLM_USE_V2_MODEL_RUNNER=0``). Both are made when they are asked
for, so that this module loads without vLLM.

A request is constrained unless ``extra_args`` (``vllm_xargs`` over HTTP) hold ``{"sid": 0}``; ``{"sid_items": "P1,P2"}`` (or a
list) allows only these items. Where the codes are: see ``SidConstraint.load``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidrec.errors import DataError
from sidrec.recommend.elsewhere.constraint import SidConstraint

SWITCH, ITEMS = "sid", "sid_items"


def check_params(params: Any) -> None:
    """What a request may say, before it is admitted: an error inside a step would end the engine.

    Raises:
        ValueError: as vLLM asks for.
    """
    extra: Mapping[str, Any] = params.extra_args or {}
    if extra.get(SWITCH, 1) not in (0, 1):
        raise ValueError(f"{SWITCH} is 0 (no semantic-ID constraint) or 1, found {extra[SWITCH]!r}")
    if ITEMS in extra and not asked_items(params):
        raise ValueError(f"{ITEMS} is a list of item ids, or one text with commas between, found {extra[ITEMS]!r}")


def asked_items(params: Any) -> list[str] | None:
    """The allow-list of a request, ``None`` where it has none."""
    asked = (params.extra_args or {}).get(ITEMS)
    if asked is None:
        return None
    if isinstance(asked, str):
        asked = [part.strip() for part in asked.split(",") if part.strip()]
    return asked if isinstance(asked, list) and all(isinstance(item, str) for item in asked) else []


def wanted(params: Any) -> bool:
    """Whether a request is constrained."""
    return bool((params.extra_args or {}).get(SWITCH, 1))


def allowed(constraint: SidConstraint, params: Any, device: torch.device) -> Tensor | None:
    """The allow-list as ``SidConstraint.alive``; ids that the catalogue lacks count for nothing, here inside the engine."""
    asked = asked_items(params)
    if asked is None:
        return None
    known = set(constraint.item_ids)
    kept = [item for item in asked if item in known]
    if not kept:
        return torch.zeros(len(known) + 1, dtype=torch.int32, device=device)
    return torch.from_numpy(constraint.alive(kept)).to(device)


def open_constraint(config: Any, device: torch.device) -> SidConstraint:
    """Of the model that vLLM serves.

    Raises:
        DataError: speculative decoding is on: its draft tokens are not in the history that the constraint reads.
    """
    if getattr(config, "speculative_config", None) is not None:
        raise DataError("the semantic-ID constraint does not work with speculative decoding: start vLLM without it")
    return SidConstraint.load(Path(config.model_config.model), device=str(device))


def mask_rows_(constraint: SidConstraint, logits: Tensor, rows: list[int], tails: Tensor, alive: Mapping[int, Tensor]) -> None:
    """Constrain ``rows`` (``tails``: one a row of ``logits``); ``alive``: of those rows that have an allow-list."""
    plain = [row for row in rows if row not in alive]
    for group, sums in ((plain, None), *(([row], alive[row]) for row in rows if row in alive)):
        if group == list(range(len(logits))):
            constraint.mask_(logits, tails, sums)
        elif group:
            at = torch.tensor(group, device=logits.device)
            logits[at] = constraint.mask_(logits[at], tails[at], sums)


def _v2() -> type:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

    class SidLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
        """Model Runner V2: state by request slot; tokens are read on the device."""

        def __init__(self, vllm_config: Any, req_states: Any) -> None:
            self.states = req_states
            self.constraint = open_constraint(vllm_config, req_states.device)
            self.on: dict[int, bool] = {}
            self.alive: dict[int, Tensor] = {}

        @classmethod
        def validate_params(cls, sampling_params: Any) -> None:
            check_params(sampling_params)

        def is_argmax_invariant(self) -> bool:
            return False

        def add_request(self, req_idx: int, sampling_params: Any) -> bool:
            self.on[req_idx] = wanted(sampling_params)
            self.alive.pop(req_idx, None)
            sums = allowed(self.constraint, sampling_params, self.states.device)
            if sums is not None:
                self.alive[req_idx] = sums
            return self.on[req_idx]

        def apply(self, logits: Tensor, ctx: Any) -> Tensor:
            slots = ctx.idx_mapping_np.tolist()  # without speculation a row is a request, in this order
            rows = [row for row, slot in enumerate(slots) if self.on.get(slot, False)]
            if rows:
                reach, index = self.constraint.reach, ctx.expanded_idx_mapping.long()
                tokens, lengths = self.states.all_token_ids.gpu, self.states.total_len.gpu
                place = lengths[index].long()[:, None] + torch.arange(-reach, 0, device=logits.device)
                tails = tokens[index[:, None], place.clamp(min=0)].long()
                tails = torch.where(place < 0, -1, tails)
                alive = {row: self.alive[slots[row]] for row in rows if slots[row] in self.alive}
                mask_rows_(self.constraint, logits, rows, tails, alive)
            return logits

    return SidLogitsProcessor


def _v1() -> type:
    from vllm.v1.sample.logits_processor import LogitsProcessor, MoveDirectionality

    class V1SidLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
        """V1 runner: state by row of the batch, moved as ``BatchUpdate`` says; output tokens are lists that grow."""

        def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
            self.device = device
            self.constraint = open_constraint(vllm_config, device)
            self.requests: dict[int, tuple[list[int], list[int], Tensor | None]] = {}

        @classmethod
        def validate_params(cls, sampling_params: Any) -> None:
            check_params(sampling_params)

        def is_argmax_invariant(self) -> bool:
            return False

        def update_state(self, batch_update: Any) -> None:
            if batch_update is None:
                return
            for row in batch_update.removed:
                self.requests.pop(row, None)
            for row, params, prompt, output in batch_update.added:
                self.requests.pop(row, None)
                if wanted(params):
                    end = self.constraint.tail(prompt or [])
                    self.requests[row] = end, output, allowed(self.constraint, params, self.device)
            for one, other, direction in batch_update.moved:
                first, second = self.requests.pop(one, None), self.requests.pop(other, None)
                if first is not None:
                    self.requests[other] = first
                if second is not None and direction == MoveDirectionality.SWAP:
                    self.requests[one] = second

        def apply(self, logits: Tensor) -> Tensor:
            rows = sorted(row for row in self.requests if row < len(logits))
            if rows:
                tails = torch.full((len(logits), self.constraint.reach), -1)
                for row in rows:
                    tails[row] = torch.tensor(self.constraint.tail(*self.requests[row][:2]))
                alive = {row: sums for row in rows if (sums := self.requests[row][2]) is not None}
                mask_rows_(self.constraint, logits, rows, tails.to(logits.device), alive)
            return logits

    return V1SidLogitsProcessor


_CLASSES: dict[str, Callable[[], type]] = {"SidLogitsProcessor": _v2, "V1SidLogitsProcessor": _v1}


def __getattr__(name: str) -> type:
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = _CLASSES[name]()
    made.__qualname__ = name  # vLLM may send the class to its engine's process by this name
    return made
