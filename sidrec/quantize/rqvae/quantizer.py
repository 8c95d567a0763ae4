"""A frozen RQ-VAE: numpy alone, so that new items are encoded without torch and in the same way everywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.special import expit

from sidrec.errors import ArtifactError, DataError
from sidrec.quantize.kmeans import blocks, nearest
from sidrec.quantize.residual_kmeans import HEADER, check_finite

Layers = tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
"""Weight ``(out, in)`` and bias ``(out,)`` of each layer, as torch's ``nn.Linear`` has them."""


@dataclass(frozen=True, eq=False)
class RqVae:
    """``mean`` float32 ``(D,)`` and ``scale`` bring vectors to unit spread; ``encoder`` takes them to the width ``C``, where
    the codebooks ``centres[l]`` float32 ``(K_l, C)`` live, and ``decoder`` takes sums of these back.

    ``settings`` is the config that it was learned with, as JSON-able values: nothing here depends on it.
    """

    mean: NDArray[np.float32]
    scale: float
    encoder: Layers
    centres: tuple[NDArray[np.float32], ...]
    decoder: Layers
    settings: dict[str, Any]

    METHOD: ClassVar[str] = "rq-vae"
    VERSION: ClassVar[int] = 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each learned level."""
        return tuple(len(level) for level in self.centres)

    @property
    def width(self) -> int:
        """``D``, the width of the vectors that it takes."""
        return len(self.mean)

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.int32]:
        """Learned codes int32 ``(N, levels)`` of float32 ``(N, D)``: the nearest code of each level in turn.

        Raises:
            DataError: another width than the quantizer's, or a value that is not finite.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise DataError(
                f"the RQ-VAE takes vectors of width {self.width}, found shape {vectors.shape}: "
                "they are of another encoder; run `sidrec embed` and `sidrec quantize` again"
            )
        check_finite(vectors)
        codes = np.empty((len(vectors), len(self.centres)), dtype=np.int32)
        for part in self._blocks(len(vectors)):
            residual = self._latent(vectors[part])
            for level, centres in enumerate(self.centres):
                codes[part, level], _ = nearest(residual, centres)
                residual -= centres[codes[part, level]]
        return codes

    def decode(self, codes: NDArray[np.int32]) -> NDArray[np.float32]:
        """float32 ``(N, D)``: what the decoder makes of the codes' sum. Fewer columns than levels decode a prefix."""
        vectors = np.empty((len(codes), self.width), dtype=np.float32)
        for part in self._blocks(len(codes)):
            vectors[part] = _run(self.decoder, self._sum(codes[part])) * np.float32(self.scale) + self.mean
        return vectors

    def distances(self, vectors: NDArray[np.float32], prefix: NDArray[np.int32]) -> NDArray[np.float32]:
        """Squared distance of float32 ``(N, D)``, once encoded, to each code of the level behind ``prefix`` ``(N, l)``."""
        residual = self._latent(vectors) - self._sum(prefix)
        centres = self.centres[prefix.shape[1]]
        away = (centres * centres).sum(axis=1) - 2 * (residual @ centres.T)
        away += np.einsum("nc,nc->n", residual, residual)[:, None]
        return np.asarray(np.maximum(away, 0))

    def save(self, path: Path) -> None:
        """One safetensors file; method, version, sizes and settings are in its metadata, under one key, as JSON."""
        tensors = {"mean": self.mean, **{f"centres.{level}": table for level, table in enumerate(self.centres)}}
        for name, layers in (("encoder", self.encoder), ("decoder", self.decoder)):
            for i, (weight, bias) in enumerate(layers):
                tensors |= {f"{name}.{i}.weight": weight, f"{name}.{i}.bias": bias}
        header = {
            "method": self.METHOD,
            "version": self.VERSION,
            "sizes": self.sizes,
            "layers": len(self.encoder),
            "scale": self.scale,
            "settings": self.settings,
        }
        # safetensors writes tensors as they lie in memory: a transposed view would be saved wrong.
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path, {HEADER: json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> RqVae:
        """See ``save``.

        Raises:
            ArtifactError: missing, damaged, or of another method or version.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                found: dict[str, Any] = json.loads((file.metadata() or {})[HEADER])
                if (found["method"], found["version"]) != (cls.METHOD, cls.VERSION):
                    raise ArtifactError(
                        f"{path} holds a quantizer {found['method']!r} of version {found['version']}, "
                        f"this sidrec reads {cls.METHOD!r} of version {cls.VERSION}: run `sidrec quantize` again"
                    )
                sizes, depth = tuple(found["sizes"]), int(found["layers"])

                def layers(name: str) -> Layers:
                    return tuple(
                        (file.get_tensor(f"{name}.{i}.weight"), file.get_tensor(f"{name}.{i}.bias")) for i in range(depth)
                    )

                centres = tuple(file.get_tensor(f"centres.{level}") for level in range(len(sizes)))
                mean, scale = file.get_tensor("mean"), float(found["scale"])
                quantizer = cls(mean, scale, layers("encoder"), centres, layers("decoder"), dict(found["settings"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:  # JSON's error is a ValueError
            raise ArtifactError(f"the quantizer {path} is missing or damaged ({error}): run `sidrec quantize` again") from None
        if not quantizer._fits_together(sizes):
            raise ArtifactError(f"the quantizer {path} contradicts itself in its sizes: run `sidrec quantize` again")
        return quantizer

    def _fits_together(self, sizes: Sequence[int]) -> bool:
        widths = [self.width]
        for weight, bias in self.encoder:
            if weight.shape != (len(bias), widths[-1]):
                return False
            widths.append(len(bias))
        for weight, bias in self.decoder:
            if weight.shape != (len(bias), widths[-1]):
                return False
            widths.append(len(bias))
        code = widths[len(self.encoder)]
        return widths[-1] == self.width and [c.shape for c in self.centres] == [(size, code) for size in sizes]

    def _blocks(self, rows: int) -> list[slice]:
        widest = max(len(bias) for _, bias in (*self.encoder, *self.decoder))
        return list(blocks(rows, max(widest, *self.sizes)))

    def _latent(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return _run(self.encoder, (vectors - self.mean) / np.float32(self.scale))

    def _sum(self, codes: NDArray[np.int32]) -> NDArray[np.float32]:
        total = np.zeros((len(codes), self.centres[0].shape[1]), dtype=np.float32)
        for level in range(codes.shape[1]):
            total += self.centres[level][codes[:, level]]
        return total


def _run(layers: Layers, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    for i, (weight, bias) in enumerate(layers):
        rows = rows @ weight.T
        rows += bias
        if i < len(layers) - 1:
            rows *= expit(rows)
    return rows
