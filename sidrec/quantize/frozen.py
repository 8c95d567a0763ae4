"""A frozen quantizer and its file: which method wrote it is in the file, so that nobody has to say it by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sidrec.errors import ArtifactError
from sidrec.quantize.residual_kmeans import HEADER, ResidualKMeans
from sidrec.quantize.rqvae import RqVae
from sidrec.types import Quantizer

LOADERS: dict[str, Callable[[Path], Quantizer]] = {
    ResidualKMeans.METHOD: ResidualKMeans.load,
    RqVae.METHOD: RqVae.load,
}
"""By the method that a file names."""


def load_quantizer(path: Path) -> Quantizer:
    """The quantizer that some method's ``save`` wrote.

    Raises:
        ArtifactError: missing, damaged, or of a method or version that this sidrec does not read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            found: dict[str, Any] = json.loads((file.metadata() or {})[HEADER])
            method = str(found["method"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the quantizer {path} is missing or damaged ({error}): run `sidrec quantize` again") from None
    if method not in LOADERS:
        raise ArtifactError(
            f"{path} holds a quantizer of the method {method!r}, this sidrec reads {', '.join(sorted(LOADERS))}: "
            "run `sidrec quantize` again, or install the sidrec that wrote it"
        )
    return LOADERS[method](path)
