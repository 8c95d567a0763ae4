"""How an RQ-VAE learns. All randomness is drawn from (seed, epoch or step), so a training goes on where it was killed and
ends in the same bytes on a CPU.

The order of things: a share of the epochs without codes, so that there is something worth clustering; k-means sets the
codebooks; then all learn together, and at intervals codes that nobody used are put on items of the most used ones, until a
share of the epochs. What is kept is the last state whose error on the validation items is at most 1 % above the least.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.config import QuantizeConfig, RqVaeConfig
from sidrec.errors import ConfigError, DataError
from sidrec.log import Bar, progress, say
from sidrec.quantize.lesson import Lesson
from sidrec.quantize.rqvae.checkpoint import Checkpoint
from sidrec.quantize.rqvae.codebooks import revive, start_codebooks
from sidrec.quantize.rqvae.companions import Companions
from sidrec.quantize.rqvae.losses import batch_loss
from sidrec.quantize.rqvae.network import Network, hidden_widths
from sidrec.quantize.rqvae.prepared import Prepared
from sidrec.quantize.rqvae.quantizer import RqVae

_CHECKPOINT_SECONDS = 60.0  # what a kill can cost
_AS_GOOD = 1.01  # times the least validation error: of states as good, the last is kept, since it knows the other items better
_FEWEST_STEPS, _SMALLEST_BATCH = 10, 32
_LOOK_ROWS = 4096  # rows encoded at once when nothing is learned


def fit_rqvae(lesson: Lesson, config: QuantizeConfig) -> RqVae:
    """Learn ``len(config.levels)`` levels; the method ``"rq-vae"`` of the room's door.

    With a workspace, a killed fit goes on from its last checkpoint.

    Raises:
        ConfigError: there is no such device.
        DataError: see ``Prepared.of``; or the loss is no longer a number.
    """
    return Training(lesson, config).run()


@dataclass(slots=True)
class State:
    """Where a training stands, beside its tensors. ``best`` is the least validation error yet; what is kept is the
    state after ``kept_epoch``."""

    epoch: int = 0
    step: int = 0
    best: float = math.inf
    kept_epoch: int = 0


class Training:
    """One fit. ``run`` does it all."""

    def __init__(self, lesson: Lesson, config: QuantizeConfig) -> None:
        self.settings = settings = config.rqvae
        self.seed, self.sizes = lesson.seed, config.levels
        self.device = _device(settings.device)
        self.data = Prepared.of(lesson, self.sizes, settings.valid_share)
        hidden = settings.hidden or hidden_widths(lesson.vectors.shape[1], settings.code_width)
        width = lesson.vectors.shape[1]
        self.network = Network(width, hidden, settings.code_width, self.sizes, self.seed).to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=settings.weight_decay, foreach=False)
        _prime(self.network, self.optimizer)
        self.used = [torch.zeros(size, dtype=torch.int64, device=self.device) for size in self.sizes]
        self.kept = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        self.state = State()
        self.companions = None
        if settings.contrast_weight > 0:
            self.companions = Companions.of(lesson.histories, len(lesson.vectors))
        self.batches = steps_an_epoch(len(self.data.train), settings.batch_size)
        self.start_epoch = round(settings.start_share * settings.epochs)
        self.last_revival = math.floor(settings.revive_until * settings.epochs)
        self.checkpoint = None
        if lesson.workspace is not None:
            self.checkpoint = Checkpoint(lesson.workspace, self._fingerprint(lesson))

    def run(self) -> RqVae:
        settings, state = self.settings, self.state
        if self.checkpoint and (found := self.checkpoint.restore(self._tensors())):
            self.state = state = State(**found)
            say(f"  rq-vae: goes on after epoch {state.epoch} of {settings.epochs}")
        saved = time.monotonic()
        with progress("rq-vae", total=settings.epochs) as bar:
            if state.epoch:
                bar.advance(state.epoch)
            while state.epoch < settings.epochs and not self._finished():
                self._epoch(bar)
                if self.checkpoint and time.monotonic() - saved >= _CHECKPOINT_SECONDS:
                    self.checkpoint.save(self._tensors(), asdict(state))
                    saved = time.monotonic()
        if state.epoch < settings.epochs:
            kept = f"kept epoch {state.kept_epoch}"
            say(f"  rq-vae: stopped after epoch {state.epoch}, no better for {settings.patience}; {kept}")
        return self._frozen()

    def _epoch(self, bar: Bar) -> None:
        settings, state = self.settings, self.state
        quantized = state.epoch >= self.start_epoch
        if state.epoch == self.start_epoch:
            start_codebooks(self.network, self.optimizer, self._rows, self.data.train, self.seed)
        order = np.random.default_rng([self.seed, state.epoch, *b"quantize.rq-vae.order"]).permutation(self.data.train)
        for items in np.array_split(order, self.batches):
            self._step(items, quantized)
        state.epoch += 1
        if quantized and state.epoch % settings.revive_every == 0:
            if state.epoch <= self.last_revival:
                rng = np.random.default_rng([self.seed, state.epoch, *b"quantize.rq-vae.revival"])
                sample = rng.choice(self.data.train, min(len(self.data.train), 64 * max(self.sizes)), replace=False)
                revive(self.network, self.optimizer, self._rows(sample), self.used, settings.revive_share, rng)
            for counts in self.used:
                counts.zero_()
        note = self._look() if quantized else "no codes yet"
        bar.advance(note=note)

    def _step(self, items: NDArray[np.int64], quantized: bool) -> None:
        settings, state = self.settings, self.state
        rng = np.random.default_rng([self.seed, state.step, *b"quantize.rq-vae.step"])
        loss, codes = batch_loss(self.network, items, self._rows, settings, self.companions, rng, quantized)
        if not torch.isfinite(loss):
            raise DataError(
                f"the RQ-VAE's loss is {loss.item()} at step {state.step}: lower quantize.rqvae.learning_rate "
                f"(now {settings.learning_rate})"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(state.step, self.batches * settings.epochs, settings)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        state.step += 1
        if codes is not None:
            for level, counts in enumerate(self.used):
                counts += torch.bincount(codes[:, level], minlength=len(counts))

    @torch.no_grad()
    def _look(self) -> str:
        """Measure on the validation items, keep what is best; what the bar says."""
        state = self.state
        if not len(self.data.valid):
            return ""
        total = 0.0
        for start in range(0, len(self.data.valid), _LOOK_ROWS):
            rows = self._rows(self.data.valid[start : start + _LOOK_ROWS])
            away = self.network.decode(self.network.quantize(self.network.encode(rows)).sums_LBC[-1]) - rows
            total += float(away.square().mean(1).sum())
        error = total / len(self.data.valid)
        state.best = min(state.best, error)
        if error <= _AS_GOOD * state.best:
            state.kept_epoch = state.epoch
            for name, parameter in self.network.named_parameters():
                self.kept[name].copy_(parameter)
        return f"error {error:.4f}, best {state.best:.4f}"

    def _finished(self) -> bool:
        """Whether validation has not improved for ``patience`` epochs; never while codes may still be revived."""
        state = self.state
        since = max(state.kept_epoch, self.start_epoch, self.last_revival)
        return bool(len(self.data.valid)) and state.epoch - since >= self.settings.patience > 0

    def _rows(self, items: NDArray[np.int64]) -> Tensor:
        return self.data.rows(items, self.device)

    def _tensors(self) -> dict[str, Tensor]:
        """Everything that changes while learning, by name: what a checkpoint holds."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in self.network.named_parameters():
            tensors[f"now/{name}"] = parameter.detach()
            tensors[f"kept/{name}"] = self.kept[name]
            tensors |= {f"adam/{name}/{key}": value for key, value in self.optimizer.state[parameter].items()}
        return tensors | {f"used/{level}": counts for level, counts in enumerate(self.used)}

    def _fingerprint(self, lesson: Lesson) -> str:
        parts = [self.settings.model_dump(mode="json"), self.sizes, self.seed, self.data.digest()]
        digest = hashlib.sha256(json.dumps(parts).encode())
        if self.companions is not None:
            digest.update(self.companions.running.tobytes() + self.companions.items.tobytes())
        return digest.hexdigest()

    def _frozen(self) -> RqVae:
        kept = self.kept if self.state.kept_epoch else dict(self.network.named_parameters())

        def array(name: str) -> NDArray[np.float32]:
            return np.ascontiguousarray(kept[name].detach().cpu().numpy())

        def layers(name: str) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]:
            depth = len(self.network.encoder.layers)
            return tuple((array(f"{name}.layers.{i}.weight"), array(f"{name}.layers.{i}.bias")) for i in range(depth))

        about: dict[str, Any] = self.settings.model_dump(mode="json", exclude={"device"})
        centres = tuple(array(f"codebooks.{level}") for level in range(len(self.sizes)))
        return RqVae(self.data.mean, self.data.scale, layers("encoder"), centres, layers("decoder"), about)


def steps_an_epoch(items: int, batch_size: int) -> int:
    """Ten at least, of 32 items or more: in a small catalogue 200 epochs of one step each would teach nothing.

    >>> steps_an_epoch(1_000_000, 1024), steps_an_epoch(1000, 1024), steps_an_epoch(100, 1024)
    (977, 10, 4)
    """
    return math.ceil(items / min(batch_size, max(_SMALLEST_BATCH, math.ceil(items / _FEWEST_STEPS))))


def learning_rate(step: int, steps: int, settings: RqVaeConfig) -> float:
    """Linear warm-up, then a cosine down to ``min_learning_rate``."""
    warmup = min(settings.warmup_steps, max(1, steps // 10))
    peak, lowest = settings.learning_rate, min(settings.min_learning_rate, settings.learning_rate)
    if step < warmup:
        return peak * (step + 1) / warmup
    return lowest + (peak - lowest) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _prime(network: Network, optimizer: torch.optim.Optimizer) -> None:
    """Let AdamW make its state by a step of rate 0, so that a checkpoint has somewhere to go."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for state in optimizer.state.values():
        state["step"].zero_()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"quantize.rqvae.device = {name!r} cannot be used here ({reason}): 'auto' takes what there is"
        ) from None
    return device
