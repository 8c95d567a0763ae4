"""One optimiser step, and the validation loss: what the loop repeats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from sidrec.config import StageConfig
from sidrec.errors import SidrecError
from sidrec.train.dropout import Dropout
from sidrec.train.loss import AnswerLoss
from sidrec.train.optim import Computer, set_learning_rate
from sidrec.train.pack import PackedBatch, TokenizedConversations, pack, plan_epoch
from sidrec.train.parts import recomputed_activations


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one step: mean loss an answer token, and the norm of the whole gradient before clipping."""

    loss: float
    gradient_norm: float


class Worker:
    """Runs steps; ``on()`` puts packed attention, dropout and checkpointing in place for as long as it lasts."""

    def __init__(
        self, computer: Computer, optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter],
        stage: StageConfig, stage_name: str, seed: int,
    ) -> None:  # fmt: skip
        self._computer, self._optimizer, self._parameters = computer, optimizer, list(parameters)
        self._stage, self._stage_name, self._seed = stage, stage_name, seed
        self._key = (seed, crc32(stage_name.encode()))
        self._loss = AnswerLoss(computer.model)
        self._dropout = Dropout(stage.dropout)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Nothing of it is left in the model afterwards."""
        model = self._computer.model
        training = model.training
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng())
            stack.enter_context(self._dropout.on(model))  # before the loss: then it drops only rows that exist
            stack.enter_context(self._loss.on())
            if self._stage.gradient_checkpointing:
                stack.enter_context(recomputed_activations(model))
            model.train()
            stack.callback(model.train, training)
            yield

    def step(self, index: int, batches: Sequence[PackedBatch], rate: float) -> Outcome:
        """One update from all micro-batches of a step, every answer token with the same weight.

        Raises:
            SidrecError: the loss or the gradient is not finite; the weights are still those of the step before.
        """
        # stochastic rounding draws from torch's own generator; seeded by the step, there is no state to keep
        torch.manual_seed(int(np.random.SeedSequence([*self._key, index]).generate_state(1, np.uint64)[0] >> np.uint64(1)))
        answers = sum(len(batch.labels) for batch in batches)
        parts: list[Tensor] = []
        for micro, batch in enumerate(batches):
            self._dropout.draw(*self._key, index, micro)
            with self._computer.precision():
                part = self._loss(batch) / answers
            part.backward()  # type: ignore[no-untyped-call]
            self._computer.collect()
            parts.append(part.detach())
        loss = float(torch.stack(parts).sum())
        norm = float(nn.utils.clip_grad_norm_(self._parameters, self._stage.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise SidrecError(
                f"{self._stage_name}: the loss became {loss} (gradient norm {norm}) at step {index + 1}; the last checkpoint "
                f"is kept. Lower learning_rate (now {self._stage.learning_rate:g}) or raise warmup_ratio and run it again"
            )
        set_learning_rate(self._optimizer, rate)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._computer.refresh()
        return Outcome(loss, norm)

    def evaluate(self, valid: TokenizedConversations, tokens_per_batch: int) -> float:
        """Mean loss an answer token, without dropout; NaN where there is no answer."""
        model = self._computer.model
        model.train(False)
        total, answers = 0.0, 0
        with torch.no_grad(), self._computer.precision():
            for documents in plan_epoch(valid.lengths, tokens_per_batch, seed=0, epoch=0):
                batch = pack(valid, documents)
                if len(batch.labels):
                    total += float(self._loss(batch))
                    answers += len(batch.labels)
        model.train()
        return total / answers if answers else math.nan
