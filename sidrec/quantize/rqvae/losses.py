"""What one batch of an RQ-VAE is judged by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sidrec.config import RqVaeConfig
from sidrec.quantize.rqvae.companions import Companions, contrastive_loss
from sidrec.quantize.rqvae.gradient import GRADIENTS
from sidrec.quantize.rqvae.network import Network

_LATENT_DECAY = 1e-3  # before there are codes, nothing else holds the latent vectors together


def batch_loss(
    network: Network,
    items: NDArray[np.int64],
    rows: Callable[[NDArray[np.int64]], Tensor],
    settings: RqVaeConfig,
    companions: Companions | None,
    rng: np.random.Generator,
    quantized: bool,
) -> tuple[Tensor, Tensor | None]:
    """The loss, and the codes int64 ``(B, L)`` where there are any.

    Mean squared errors, all of them: of the reconstruction (a vector of unit spread), ``codebook_weight`` times that of the
    codebooks, ``commitment`` times as much again of the encoder. With ``contrast_weight`` the items' companions join the
    batch; with ``mask_share`` so many rows are decoded from their first levels only, a number drawn for each.
    """
    pairs = np.empty(0, dtype=np.int64)
    drawn = pairs
    if companions is not None and quantized:
        drawn = companions.draw(items, rng)
        pairs = np.flatnonzero(drawn >= 0)
    first = rows(np.concatenate((items, drawn[pairs])))
    latent = network.encode(first)
    if not quantized:
        return (network.decode(latent) - first).square().mean() + _LATENT_DECAY * latent.square().mean(), None
    quantization = network.quantize(latent)
    sums_LBC = GRADIENTS[settings.gradient](latent, quantization.sums_LBC)
    seen = sums_LBC[-1]
    if settings.mask_share > 0 and len(sums_LBC) > 1:
        seen = sums_LBC[masked(len(latent), len(sums_LBC), settings.mask_share, rng), range(len(latent))]
    loss = (network.decode(seen) - first).square().mean()
    loss = loss + settings.codebook_weight * (
        quantization.codebook_B.mean() + settings.commitment * quantization.commitment_B.mean()
    )
    if len(pairs) > 1:
        whole = sums_LBC[-1]
        loss = loss + settings.contrast_weight * contrastive_loss(
            whole[pairs], whole[len(items) :], items[pairs], drawn[pairs], settings.contrast_temperature
        )
    return loss, quantization.codes


def masked(rows: int, levels: int, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """For each row the last level that the decoder sees: the last of all, or in a ``share`` of rows an earlier one."""
    last = np.full(rows, levels - 1, dtype=np.int64)
    cut = rng.random(rows) < share
    last[cut] = rng.integers(0, levels - 1, int(cut.sum()))
    return last
