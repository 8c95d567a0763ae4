"""Checkpoints that are whole or ignored, and that continue exactly: safetensors and JSON, no pickle.

``checkpoints/step-00000120/`` holds ``parameters.safetensors`` (what learns), ``optimizer.safetensors`` (AdamW's
state), ``state.json`` (step and counters) and ``manifest.json`` (fingerprint and hashes), written last into a temporary
sibling that is then renamed. There is no random state to keep: all randomness is drawn from (seed, step).
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sidrec.artifacts import CHECKPOINTS, MANIFEST, hash_file, write_file, write_json
from sidrec.log import warn
from sidrec.train.optim import set_learning_rate

_PARAMETERS, _OPTIMIZER, _STATE = "parameters.safetensors", "optimizer.safetensors", "state.json"
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands: finished steps, tokens seen, seconds spent, the last step's loss, a validation loss."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    valid_loss: float | None = None


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    fingerprint: str
    files: dict[str, str]


class Checkpoints:
    """The checkpoints of one stage in ``workspace``, of which the newest ``keep`` stay."""

    def __init__(self, workspace: Path, fingerprint: str, keep: int) -> None:
        self.folder = workspace / CHECKPOINTS
        self._fingerprint, self._keep = fingerprint, keep

    def save(
        self, progress: Progress, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> Path:  # fmt: skip
        """Write one; a reader sees all of it or nothing."""
        final = self.folder / f"step-{progress.step:08}"
        temporary = final.with_name(final.name + _UNFINISHED)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file({name: p.detach().cpu().contiguous() for name, p in parameters.items()}, temporary / _PARAMETERS)
        state = dict(_optimizer_tensors(parameters, optimizer))
        save_file({name: t.detach().cpu().contiguous() for name, t in state.items()}, temporary / _OPTIMIZER)
        for name in (_PARAMETERS, _OPTIMIZER):
            _sync(temporary / name)
        write_file(temporary / _STATE, json.dumps(asdict(progress)).encode())
        files = {name: hash_file(temporary / name) for name in (_PARAMETERS, _OPTIMIZER, _STATE)}
        write_json(temporary / MANIFEST, {"fingerprint": self._fingerprint, "files": files})
        _sync(temporary)
        if final.exists():  # of another fingerprint or damaged, or it would have been continued from
            shutil.rmtree(final)
        temporary.rename(final)
        _sync(self.folder)
        self._prune()
        return final

    def restore(self, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> Progress:
        """Load the newest whole checkpoint of this fingerprint in place; ``Progress()`` if there is none.

        A damaged one is named in a warning and skipped; one of another fingerprint is never used.
        """
        for folder in self._newest_first():
            problem = self._problem(folder)
            if problem is None:
                _prime(parameters, optimizer)
                state = dict(_optimizer_tensors(parameters, optimizer))
                _copy_into({name: p.data for name, p in parameters.items()}, load_file(folder / _PARAMETERS))
                _copy_into(state, load_file(folder / _OPTIMIZER))
                return Progress(**json.loads((folder / _STATE).read_bytes()))
            if problem:
                warn(f"the checkpoint {folder} is damaged ({problem}); it is not used")
        return Progress()

    def _newest_first(self) -> list[Path]:
        return sorted((p for p in self.folder.glob("step-*") if not p.name.endswith(_UNFINISHED)), reverse=True)

    def _problem(self, folder: Path) -> str | None:
        """``None``: usable; empty: of another fingerprint, so nobody's concern; else what is wrong."""
        try:
            manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        except FileNotFoundError:
            return f"no {MANIFEST}"
        except ValidationError:
            return f"{MANIFEST} cannot be read"
        if manifest.fingerprint != self._fingerprint:
            return ""
        for name, digest in manifest.files.items():
            if not (folder / name).is_file():
                return f"{name} is missing"
            if hash_file(folder / name) != digest:
                return f"the hash of {name} differs"
        return None

    def _prune(self) -> None:
        for folder in self.folder.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(folder)
        # Counted by hash: a damaged one must not push out the good one before it.
        usable = [folder for folder in self._newest_first() if self._problem(folder) is None]
        for folder in usable[self._keep :]:
            shutil.rmtree(folder)


def _optimizer_tensors(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, Tensor]]:  # fmt: skip
    """AdamW's state as plain tensors named ``<parameter>/<key>``; a quantised one by its parts (codes, scales)."""
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            if hasattr(value, "__tensor_flatten__"):
                for part in value.__tensor_flatten__()[0]:
                    yield f"{name}/{key}/{part}", getattr(value, part)
            else:
                yield f"{name}/{key}", value


def _prime(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Let the optimiser make its state by a step of rate 0; what is loaded then overwrites parameters and state."""
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    set_learning_rate(optimizer, 0.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _copy_into(targets: Mapping[str, Tensor], sources: Mapping[str, Tensor]) -> None:
    if targets.keys() != sources.keys():
        different = sorted(targets.keys() ^ sources.keys())
        raise RuntimeError(f"a checkpoint of this fingerprint has other tensors: {different[:3]}")
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(sources[name])


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
