"""AdamW, its schedule, and the precision a step is computed in."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sidrec.config import StageConfig
from sidrec.errors import ConfigError, MissingExtraError

Compute = Literal["auto", "float32", "bfloat16"]


def learning_rate(step: int, steps: int, config: StageConfig) -> float:
    """Of step ``step`` (from 0): a linear warm-up to the peak, then a cosine that ends at the floor with the last step.

    >>> config = StageConfig(learning_rate=1.0, warmup_ratio=0.2, min_learning_rate_ratio=0.2)
    >>> [round(learning_rate(step, 10, config), 3) for step in (0, 1, 5, 9)]
    [0.5, 1.0, 0.6, 0.2]
    """
    warmup = math.ceil(config.warmup_ratio * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step + 1 - warmup) / max(1, steps - warmup)
    floor = config.min_learning_rate_ratio
    return config.learning_rate * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)


def make_optimizer(parameters: Iterable[nn.Parameter], config: StageConfig) -> torch.optim.Optimizer:
    """AdamW with decoupled weight decay on matrices only; norms and other vectors have none.

    Raises:
        MissingExtraError: 8-bit AdamW without torchao.
        ConfigError: pure bfloat16 weights without stochastic rounding.
    """
    parameters = list(parameters)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    options: dict[str, Any] = {"lr": config.learning_rate, "betas": (0.9, config.beta2)}
    rounded = any(p.dtype == torch.bfloat16 for p in parameters)
    if config.optimizer == "adamw":
        if rounded:
            raise ConfigError(
                'bfloat16 weights lose updates of a small learning rate: set optimizer = "adamw8bit" '
                '(it rounds stochastically), or train.dtype = "float32"'
            )
        return torch.optim.AdamW(groups, fused=True, **options)
    try:
        from torchao.optim import AdamW8bit
    except ImportError:
        raise MissingExtraError("torchao", "train8bit", 'optimizer = "adamw8bit"') from None
    made: torch.optim.Optimizer = AdamW8bit(groups, bf16_stochastic_round=rounded, **options)
    return made


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """For all groups; torchao keeps the rate in a tensor, so that a new one compiles nothing again."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def resolve_device(name: str) -> torch.device:
    """'auto' is CUDA where there is one.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"train.device is {name!r}, which this machine does not have ({str(error).splitlines()[0]})"
        ) from None


def fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32 there: by 2.2 to 2.7 on a CPU with AVX512-BF16."""
    return device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class Computer:
    """The model that a step is computed with, for a model whose float32 or bfloat16 weights are the masters.

    float32 computing and bfloat16 masters need nothing: it is the model itself. float32 masters computed in bfloat16 run
    under autocast on CUDA; on a CPU, where autocast's casts cost 40 % more time, the computer is a bfloat16 copy that
    gets the masters' weights after each step, and whose gradients are added up in float32. After 60 steps on Beauty the
    validation losses were 2.6501 in float32 (54 s) and 2.6503 in bfloat16 (26 s).
    """

    def __init__(self, master: PreTrainedModel, compute: Compute) -> None:
        self.master = master
        wanted = fast_bfloat16(master.device) if compute == "auto" else compute == "bfloat16"
        lower = wanted and master.dtype == torch.float32
        self.name = "bfloat16" if wanted or master.dtype == torch.bfloat16 else "float32"
        self._autocast = lower and master.device.type == "cuda"
        self.model = master
        self._pairs: list[tuple[nn.Parameter, nn.Parameter]] = []
        if lower and not self._autocast:
            # Every batch has its own shapes, and oneDNN keeps a primitive and its workspace for each of 1,024 of them: 3 GB
            # after 1,300 steps of the demo. 400 hold it at 1.9 GB for 4 % of the speed (128: 1.6 GB, 15 %).
            os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "400")
            self.model = copy.deepcopy(master)
            for parameter in self.model.parameters():  # not .to(): the rotary frequencies stay float32
                parameter.data = parameter.data.to(torch.bfloat16)
            both = zip(master.parameters(), self.model.parameters(), strict=True)
            self._pairs = [(m, c) for m, c in both if m.requires_grad]

    def precision(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        return torch.autocast(self.master.device.type, torch.bfloat16) if self._autocast else nullcontext()

    def collect(self) -> None:
        """After a backward pass: add the copy's gradients to the masters'."""
        for master, computed in self._pairs:
            if computed.grad is None:
                continue
            master.grad = computed.grad.float() if master.grad is None else master.grad.add_(computed.grad)
            computed.grad = None

    def refresh(self) -> None:
        """After the masters changed."""
        if self._pairs:
            with torch.no_grad():
                torch._foreach_copy_([c for _, c in self._pairs], [m for m, _ in self._pairs])
