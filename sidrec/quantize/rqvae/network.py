"""The network of an RQ-VAE: a SiLU MLP, its mirror, and residual codebooks between the two.

Source: Lee et al. 2022 (residual quantization in an autoencoder), as used for semantic IDs by TIGER (Rajput et al. 2023).
Shapes: B batch, D width of the vectors, C width of the code, L levels, K codes a level.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NARROWEST = 128  # no hidden layer is narrower, nor than twice the code


def hidden_widths(width: int, code_width: int) -> tuple[int, ...]:
    """Powers of two below the vectors' width, down to 128 or twice the code's; one such layer where there is none.

    >>> hidden_widths(1024, 32), hidden_widths(384, 64), hidden_widths(100, 32)
    ((512, 256, 128), (256, 128), (128,))
    """
    narrowest = max(_NARROWEST, 2 * code_width)
    widths = []
    wide = 1 << max(0, (width - 1).bit_length() - 1)
    while wide >= narrowest:
        widths.append(wide)
        wide //= 2
    return tuple(widths) or (narrowest,)


@dataclass(frozen=True, slots=True)
class Quantization:
    """``codes`` int64 ``(B, L)``; ``sums_LBC``, codebook vectors added up to each level, without gradient; two losses a row."""

    codes: Tensor
    sums_LBC: Tensor
    codebook_B: Tensor
    commitment_B: Tensor


class Mlp(nn.Module):
    """Linear layers with SiLU between them."""

    def __init__(self, widths: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for inputs, outputs in itertools.pairwise(widths):
            layer = nn.Linear(inputs, outputs)
            nn.init.xavier_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
            self.layers.append(layer)

    @property
    def first(self) -> nn.Linear:
        return cast(nn.Linear, self.layers[0])

    @property
    def last(self) -> nn.Linear:
        return cast(nn.Linear, self.layers[-1])

    def forward(self, rows: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            rows = F.silu(layer(rows))
        return cast(Tensor, self.last(rows))


class Network(nn.Module):
    """Encoder, codebooks and decoder; the codebooks start at zero and are set from data."""

    def __init__(self, width: int, hidden: Sequence[int], code_width: int, sizes: Sequence[int], seed: int) -> None:
        super().__init__()
        widths = (width, *hidden, code_width)
        generator = torch.Generator().manual_seed(seed)
        self.encoder = Mlp(widths, generator)
        self.decoder = Mlp(widths[::-1], generator)
        self.codebooks = nn.ParameterList(nn.Parameter(torch.zeros(size, code_width)) for size in sizes)

    def encode(self, rows_BD: Tensor) -> Tensor:
        """``(B, C)``."""
        return cast(Tensor, self.encoder(rows_BD))

    def decode(self, codes_BC: Tensor) -> Tensor:
        """``(B, D)``."""
        return cast(Tensor, self.decoder(codes_BC))

    def quantize(self, latent_BC: Tensor) -> Quantization:
        """The nearest code of each level in turn.

        Of the two losses of each row, summed over levels and averaged over the code's width, the first moves codebooks to
        what they stand for, the second (commitment) the encoder to the codebooks.
        """
        residual = latent_BC
        total = torch.zeros_like(latent_BC)
        codes, sums = [], []
        codebook = commitment = latent_BC.new_zeros(len(latent_BC))
        for table in self.codebooks:
            with torch.no_grad():
                chosen = ((table * table).sum(1) / 2 - residual @ table.T).argmin(1)
            vectors = F.embedding(chosen, table)
            codebook = codebook + (residual.detach() - vectors).square().mean(1)
            commitment = commitment + (residual - vectors.detach()).square().mean(1)
            residual = residual - vectors.detach()
            total = total + vectors.detach()
            codes.append(chosen)
            sums.append(total)
        return Quantization(torch.stack(codes, 1), torch.stack(sums), codebook, commitment)
