"""The two stages: first only the new rows learn, then everything does. One loop runs both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from sidrec.config import StageConfig, TrainConfig
from sidrec.train.loop import TrainResult, train
from sidrec.train.optim import resolve_device
from sidrec.train.pack import TokenizedConversations
from sidrec.train.rows import only_new_rows
from sidrec.vocabulary import SidVocabulary

STAGE_1, STAGE_2 = "train-vocabulary", "train-full"
_CADENCE = {"checkpoint_minutes", "keep_checkpoints"}  # may change between a kill and the next run


def train_vocabulary(
    model: PreTrainedModel,
    vocabulary: SidVocabulary,
    data: TokenizedConversations,
    valid: TokenizedConversations | None,
    config: TrainConfig,
    *,
    workspace: Path,
    seed: int,
) -> TrainResult:
    """Stage 1: the rows of the new tokens learn, in place; every other weight stays bit-identical.

    Raises: as ``train``.
    """
    device = resolve_device(config.device)
    fingerprint = fingerprint_of(model, data, config.vocabulary, config.compute, STAGE_1, seed)
    model.to(device)  # type: ignore[arg-type]
    with only_new_rows(model, vocabulary.first_id, len(vocabulary.tokens)):
        result = train(
            model, data, valid, config.vocabulary, stage_name=STAGE_1, workspace=workspace, seed=seed,
            fingerprint=fingerprint, compute=config.compute,
        )  # fmt: skip
    model.to("cpu")  # type: ignore[arg-type]
    return result


def train_full(
    model: PreTrainedModel,
    data: TokenizedConversations,
    valid: TokenizedConversations | None,
    config: TrainConfig,
    *,
    workspace: Path,
    seed: int,
) -> TrainResult:
    """Stage 2: every parameter learns, in place.

    Raises: as ``train``.
    """
    device = resolve_device(config.device)
    fingerprint = fingerprint_of(model, data, config.full, config.compute, STAGE_2, seed)
    model.to(device)  # type: ignore[arg-type]
    model.requires_grad_(True)
    result = train(
        model, data, valid, config.full, stage_name=STAGE_2, workspace=workspace, seed=seed,
        fingerprint=fingerprint, compute=config.compute,
    )  # fmt: skip
    model.to("cpu")  # type: ignore[arg-type]
    return result


def fingerprint_of(
    model: PreTrainedModel, data: TokenizedConversations, stage: StageConfig, compute: str, stage_name: str, seed: int
) -> str:
    """SHA-256 of everything that decides the result: the weights a stage starts from, its data, its config, the seed.

    A checkpoint of another fingerprint (a smoke test's, say) is never continued from.
    """
    settings = {"stage": stage_name, "seed": seed, "compute": compute, "config": stage.model_dump(exclude=_CADENCE)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in (data.tokens, data.mask, data.offsets):
        digest.update(np.ascontiguousarray(array).data)
    for name, tensor in model.named_parameters():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
