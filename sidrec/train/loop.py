"""The one training loop, for both stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from sidrec.config import StageConfig
from sidrec.log import MetricsLog, progress, say
from sidrec.train.checkpoint import Checkpoints, Progress
from sidrec.train.interrupt import Interrupt
from sidrec.train.optim import Compute, Computer, learning_rate, make_optimizer
from sidrec.train.pack import Steps, TokenizedConversations
from sidrec.train.parts import embedding_of, head_of, is_tied, matrix_of
from sidrec.train.step import Worker

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What came out: steps and tokens in all, the last step's loss a token, the validation loss, seconds in all.

    ``resumed_from`` is the step of the checkpoint this run went on from, 0 if it began anew.
    """

    steps: int
    tokens: int
    loss: float
    valid_loss: float | None
    seconds: float
    resumed_from: int


def train(
    model: PreTrainedModel,
    data: TokenizedConversations,
    valid: TokenizedConversations | None,
    stage: StageConfig,
    *,
    stage_name: str,
    workspace: Path,
    seed: int,
    fingerprint: str,
    compute: Compute = "float32",
    on_step: Callable[[int], None] | None = None,
) -> TrainResult:
    """Train the parameters of ``model`` that require a gradient, in place, on the device they are on.

    Goes on from the newest whole checkpoint of ``fingerprint`` in ``workspace``; a run killed at any step and continued
    ends with the same bits on a CPU. ``on_step`` is called after each step with the number of finished steps.

    Raises:
        SidrecError: the loss or the gradient is no longer finite.
        KeyboardInterrupt: Ctrl-C, after a checkpoint was written.
    """
    steps = Steps(data, stage.tokens_per_step, stage.tokens_per_batch, seed)
    total = steps.total(stage.steps, stage.epochs)
    computer = Computer(model, compute)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(parameters.values(), stage)
    checkpoints = Checkpoints(workspace, fingerprint, stage.keep_checkpoints)
    _announce(model, computer, steps, total, stage)

    at = checkpoints.restore(parameters, optimizer)
    seconds_before = at.seconds
    computer.refresh()
    workspace.mkdir(parents=True, exist_ok=True)
    metrics = MetricsLog(workspace / METRICS_FILE)
    metrics.truncate_after(stage_name, at.step)
    resumed_from = at.step
    if resumed_from:
        say(f"  going on from step {resumed_from} of {total}")
    worker = Worker(computer, optimizer, list(parameters.values()), stage, stage_name, seed)
    began, tokens_before = time.perf_counter(), at.tokens
    saved = began
    with worker.on(), Interrupt() as interrupt, progress(stage_name, total) as bar:
        bar.advance(at.step)
        while at.step < total:
            batches = steps.batch(at.step)
            rate = learning_rate(at.step, total, stage)
            outcome = worker.step(at.step, batches, rate)
            now = time.perf_counter()
            at = Progress(
                step=at.step + 1,
                tokens=at.tokens + sum(len(batch.ids) for batch in batches),
                seconds=seconds_before + now - began,
                loss=outcome.loss,
            )
            speed = (at.tokens - tokens_before) / (now - began)
            bar.advance(1, f"loss {at.loss:.3f}, {speed:,.0f} tokens/s")
            if valid is not None and len(valid) and (at.step == total or _divides(stage.valid_every, at.step)):
                at = replace(at, valid_loss=worker.evaluate(valid, steps.tokens_per_batch))
            metrics.append(
                stage=stage_name, **asdict(at), learning_rate=rate, gradient_norm=outcome.gradient_norm,
                tokens_per_second=round(speed),
            )  # fmt: skip
            try:
                if on_step is not None:
                    on_step(at.step)
                interrupt.raise_if_requested()
            except (KeyboardInterrupt, SystemExit):
                checkpoints.save(at, parameters, optimizer)
                say(f"  stopped and saved after step {at.step}: run the command again to go on from there")
                raise
            if at.step == total or now - saved > 60 * stage.checkpoint_minutes:
                checkpoints.save(at, parameters, optimizer)
                saved = now
    return TrainResult(at.step, at.tokens, at.loss, at.valid_loss, at.seconds, resumed_from)


def _divides(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _announce(model: PreTrainedModel, computer: Computer, steps: Steps, total: int, stage: StageConfig) -> None:
    """Every derived quantity, once, before anything runs."""
    counts = parameter_counts(model)
    micro, size = steps.micro_batches, steps.tokens_per_batch
    tokens, answers = len(steps.data.tokens), int(steps.data.mask.sum())
    learn = f"{counts['trainable']:,} of {counts['total']:,} parameters learn"
    say(f"  {learn}; computed in {computer.name} on {model.device}, {torch.get_num_threads()} threads")
    say(f"  tokens a step: {micro} x {size:,} = {micro * size:,}; {steps.in_epoch(0):,} steps an epoch of {tokens:,} tokens")
    share = f"{answers:,} answer tokens an epoch ({answers / tokens:.1%})"
    say(f"  {total:,} steps, peak learning rate {stage.learning_rate:g}; {share}")


def parameter_counts(model: PreTrainedModel) -> dict[str, int]:
    """Parameters in all, those that learn, and those of the embedding and of an untied head (shared ones once)."""
    return {
        "total": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "embedding": matrix_of(embedding_of(model)).numel(),
        "head": 0 if is_tied(model) else matrix_of(head_of(model)).numel(),
    }
