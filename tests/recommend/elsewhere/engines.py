"""What vLLM and SGLang give a processor, as their documentation and interfaces have it; neither can be installed here.

vLLM 0.32, Model Runner V2 (``vllm/v1/worker/gpu/sample/logits_processor/interface.py``) and V1
(``vllm/v1/sample/logits_processor/interface.py``); SGLang 0.5 (``sglang/srt/sampling/custom_logit_processor.py``). Names,
arguments and what is abstract are theirs; the engines around them are the smallest that decode.
"""

from __future__ import annotations

import enum
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel


@dataclass
class SamplingParams:
    extra_args: dict[str, Any] | None = None


class MoveDirectionality(enum.Enum):
    UNIDIRECTIONAL = enum.auto()
    SWAP = enum.auto()


@dataclass(frozen=True)
class BatchUpdate:
    batch_size: int
    removed: Sequence[int]
    added: Sequence[tuple[int, SamplingParams, list[int] | None, list[int]]]
    moved: Sequence[tuple[int, int, MoveDirectionality]]


class V1LogitsProcessor(ABC):
    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        return None

    @abstractmethod
    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None: ...

    @abstractmethod
    def apply(self, logits: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def is_argmax_invariant(self) -> bool: ...

    @abstractmethod
    def update_state(self, batch_update: BatchUpdate | None) -> None: ...


@dataclass(frozen=True)
class LogitsProcRequestState:
    """``all_token_ids.gpu`` (slots, model length), ``prompt_len``, ``total_len.gpu`` (slots,)."""

    device: torch.device
    max_num_reqs: int
    vocab_size: int
    all_token_ids: Any
    prompt_len: Any
    total_len: Any


@dataclass(frozen=True)
class LogitsContext:
    expanded_idx_mapping: torch.Tensor
    idx_mapping: torch.Tensor
    idx_mapping_np: np.ndarray[Any, Any]


class V2LogitsProcessor(ABC):
    def __init__(self, vllm_config: Any, req_states: LogitsProcRequestState) -> None: ...  # noqa: B027

    @classmethod  # noqa: B027
    def validate_params(cls, sampling_params: SamplingParams) -> None: ...

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        return True

    def apply_staged_writes(self) -> None: ...  # noqa: B027

    @abstractmethod
    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor: ...


class CustomLogitProcessor(ABC):
    @abstractmethod
    def __call__(self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None) -> torch.Tensor: ...


def install(patch: pytest.MonkeyPatch) -> None:
    """Put the modules where the engines have them."""
    modules = {
        "vllm.v1.sample.logits_processor": {"LogitsProcessor": V1LogitsProcessor, "MoveDirectionality": MoveDirectionality},
        "vllm.v1.worker.gpu.sample.logits_processor": {"LogitsProcessor": V2LogitsProcessor},
        "sglang.srt.sampling.custom_logit_processor": {"CustomLogitProcessor": CustomLogitProcessor},
    }
    for path in modules:
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            patch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    for path, values in modules.items():
        for name, value in values.items():
            setattr(sys.modules[path], name, value)


def config(model: str, speculative: object = None) -> Any:
    return SimpleNamespace(model_config=SimpleNamespace(model=model), speculative_config=speculative)


@dataclass
class Asked:
    prompt: list[int]
    params: SamplingParams
    steps: int
    output: list[int] = field(default_factory=list)


@torch.inference_mode()
def logits_of(model: PreTrainedModel, requests: Sequence[Asked]) -> torch.Tensor:
    rows = [model(torch.tensor([[*r.prompt, *r.output]]), use_cache=False).logits[0, -1] for r in requests]
    return torch.stack(rows).float()


@torch.inference_mode()
def run_v1(processor: Any, model: PreTrainedModel, requests: Sequence[Asked], seed: int) -> None:
    """Rows are taken by waiting requests as others end; the last row moves into a gap, and now and then two swap."""
    rng, waiting, batch = np.random.default_rng(seed), list(requests), list[Asked]()
    while waiting or batch:
        removed, moved = [], []
        for row in sorted((i for i, r in enumerate(batch) if len(r.output) >= r.steps), reverse=True):
            removed.append(row)
            last = len(batch) - 1
            if row != last:
                batch[row] = batch[last]
                moved.append((last, row, MoveDirectionality.UNIDIRECTIONAL))
            batch.pop()
        added = []
        if waiting and len(batch) < 3 and not moved:
            request = waiting.pop(0)
            added.append((len(batch), request.params, request.prompt, request.output))
            batch.append(request)
        elif len(batch) > 1 and not removed and rng.random() < 0.5:
            batch[0], batch[1] = batch[1], batch[0]
            moved.append((0, 1, MoveDirectionality.SWAP))
        changed = removed or added or moved
        processor.update_state(BatchUpdate(len(batch), removed, added, moved) if changed else None)
        if batch:
            chosen = processor.apply(logits_of(model, batch)).softmax(dim=1)
            for request, row in zip(batch, chosen, strict=True):
                request.output.append(int(rng.choice(len(row), p=row.double().numpy() / row.double().sum().item())))


@torch.inference_mode()
def run_v2(kind: Any, vllm_config: Any, model: PreTrainedModel, requests: Sequence[Asked], seed: int) -> None:
    """Slots stay, rows are shuffled every step, a freed slot is used again with what it held."""
    rng, waiting, slots = np.random.default_rng(seed), list(requests), dict[int, Asked]()
    tokens, lengths = torch.zeros((4, 200), dtype=torch.int32), torch.zeros(4, dtype=torch.int32)
    buffers = {"all_token_ids": SimpleNamespace(gpu=tokens), "prompt_len": None, "total_len": SimpleNamespace(gpu=lengths)}
    processor = kind(vllm_config, LogitsProcRequestState(torch.device("cpu"), 4, model.config.vocab_size, **buffers))
    while waiting or slots:
        for slot in [slot for slot, r in slots.items() if len(r.output) >= r.steps]:
            del slots[slot]
        free = [slot for slot in (3, 1, 0, 2) if slot not in slots]
        if waiting and free and len(slots) < 3:
            request = slots[free[0]] = waiting.pop(0)
            tokens[free[0], : len(request.prompt)] = torch.tensor(request.prompt, dtype=torch.int32)
            lengths[free[0]] = len(request.prompt)
            processor.add_request(free[0], request.params)
        processor.apply_staged_writes()
        if slots:
            order = rng.permutation(list(slots))
            index = torch.tensor(order, dtype=torch.int32)
            logits = processor.apply(logits_of(model, [slots[s] for s in order]), LogitsContext(index, index, order))
            for slot, row in zip(order.tolist(), logits.softmax(dim=1), strict=True):
                token = int(rng.choice(len(row), p=row.double().numpy() / row.double().sum().item()))
                slots[slot].output.append(token)
                tokens[slot, lengths[slot]] = token
                lengths[slot] += 1
