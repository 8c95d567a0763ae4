"""Setting codebooks from data: their start by k-means, and the revival of codes that nobody uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.quantize.kmeans import kmeans, nearest
from sidrec.quantize.rqvae.network import Network

_ROWS_A_CODE = 64  # rows that the start is found among
_START_ITERATIONS, _START_TOLERANCE = 20, 1e-3  # training goes on from there
_CHUNK = 4096


@torch.no_grad()
def start_codebooks(
    network: Network,
    optimizer: torch.optim.Optimizer,
    rows: Callable[[NDArray[np.int64]], Tensor],
    items: NDArray[np.int64],
    seed: int,
) -> None:
    """Bring the latent vectors to mean 0 and unit spread, without changing what the decoder makes of them; then set the
    codebooks by residual k-means, and let the optimiser forget what these were.

    Without the first, the spread of the latent vectors decides how much the codebooks' losses weigh beside reconstruction,
    and the spread is an accident of the initial weights.
    """
    rng = np.random.default_rng([seed, *b"quantize.rq-vae.start"])
    most = _ROWS_A_CODE * max(len(table) for table in network.codebooks)
    if len(items) > most:
        items = np.sort(rng.choice(items, most, replace=False))
    latent = _latent(network, rows, items)
    mean = torch.from_numpy(latent.mean(axis=0, dtype=np.float64).astype(np.float32)).to(network.encoder.last.weight.device)
    spread = float(np.sqrt(latent.var(axis=0, dtype=np.float64).mean())) or 1.0
    into, out = network.encoder.last, network.decoder.first
    out.bias.add_(out.weight @ mean)
    out.weight.mul_(spread)
    into.bias.copy_((into.bias - mean) / spread)
    into.weight.div_(spread)
    residual = _latent(network, rows, items)
    for table in network.codebooks:
        centres = kmeans(residual, len(table), _START_ITERATIONS, _START_TOLERANCE, rng)
        residual = residual - centres[nearest(residual, centres)[0]]
        table.copy_(torch.from_numpy(centres))
    for parameter in (into.weight, into.bias, out.weight, *network.codebooks):
        for value in optimizer.state[parameter].values():
            value.zero_()


@torch.no_grad()
def revive(
    network: Network,
    optimizer: torch.optim.Optimizer,
    rows: Tensor,
    used: Sequence[Tensor],
    share: float,
    rng: np.random.Generator,
) -> int:
    """Put each code that ``used`` counts less often than a ``share`` of an even use on what is left, at its level, of a
    random one of ``rows`` in the code that is used most; how many were moved.

    The most used, not the farthest row: an outlier would make a code that one item uses.
    """
    moved = 0
    latent = network.encode(rows)
    quantized = network.quantize(latent)
    codes = quantized.codes.cpu().numpy()
    for level, (table, counts) in enumerate(zip(network.codebooks, used, strict=True)):
        residual = latent if level == 0 else latent - quantized.sums_LBC[level - 1]
        often = counts.cpu().numpy()
        dead = np.flatnonzero(often <= share * often.mean())
        sizes = np.bincount(codes[:, level], minlength=len(table)).astype(np.float64)
        for code in dead.tolist():
            largest = int(sizes.argmax())
            if sizes[largest] < 2:
                break
            table[code] = residual[int(rng.choice(np.flatnonzero(codes[:, level] == largest)))]
            sizes[largest] /= 2
            for key in ("exp_avg", "exp_avg_sq"):
                optimizer.state[table][key][code] = 0
            moved += 1
    return moved


def _latent(network: Network, rows: Callable[[NDArray[np.int64]], Tensor], items: NDArray[np.int64]) -> NDArray[np.float32]:
    parts = [network.encode(rows(items[at : at + _CHUNK])).cpu().numpy() for at in range(0, len(items), _CHUNK)]
    return np.concatenate(parts)
