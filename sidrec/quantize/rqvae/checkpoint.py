"""One checkpoint of a training, whole or ignored: a safetensors file with what it belongs to in its header; no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sidrec.log import warn

_HEADER = "sidrec.rqvae-checkpoint"


class Checkpoint:
    """The newest state of one training in ``folder``, whose name starts with a dot: it is work, not result."""

    def __init__(self, workspace: Path, fingerprint: str) -> None:
        self.path = workspace / ".rqvae" / "checkpoint.safetensors"
        self._fingerprint = fingerprint

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """``state`` is JSON-able. Written beside the old one, synced and renamed: a reader sees one or the other."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        header = {_HEADER: json.dumps({"fingerprint": self._fingerprint, "state": dict(state)})}
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, header)
        handle = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(self.path)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state, or ``None``: nothing is there, it is of another training, or damaged (which is said)."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                found = json.loads((file.metadata() or {})[_HEADER])
                if found["fingerprint"] != self._fingerprint:
                    return None
                tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, dict(found["state"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            warn(f"the checkpoint {self.path} is damaged ({error}); the RQ-VAE starts anew")
            return None

    def restore(self, targets: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Copy what was saved into ``targets``, in place, and return the state; ``None`` where there is none."""
        found = self.load()
        if found is None:
            return None
        tensors, state = found
        if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in targets.items()}:
            warn(f"the checkpoint {self.path} has other tensors than this training; the RQ-VAE starts anew")
            return None
        with torch.no_grad():
            for name, target in targets.items():
                target.copy_(tensors[name])
        return state
