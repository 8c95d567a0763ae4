"""How the decoder's gradient reaches the encoder across the step from a vector to its codes, which has no gradient.

Source of the rotation trick: Fifty et al. 2024, "Restructuring Vector Quantization with the Rotation Trick".

Measured on Beauty's titles (MiniLM, 3 x 256, code width 32, one seed): error of learned and held-out items (a share of the
spread), neighbour overlap@10, items alone in their code:

    160 epochs of 1,024, codebook weight 1
    straight-through                          .481  .541  .305  .916
    one rotation, latent to sum of codes      .533  .580  .244  .956
    80 to 200 epochs, codebook weight .3, learning rate 3e-3
    straight-through (200)                          .527  .327  .916
    one rotation, latent to sum of codes (80)       .572  .228  .950
    a rotation a level, their mean (200)            .570  .245  .919   where it was stopped, at epoch 22: then it diverged

So straight-through is the default, and the rotation is the one from the latent vector to the sum of its codes. A rotation a
level turns each residual into its code; deep residuals point anywhere, and the encoder was driven off by it.

Both take the latent vectors ``(B, C)`` and the codebook vectors added up to each level, ``(L, B, C)``, and return the latter
with a gradient: whatever the decoder reads, up to some level, the encoder hears of it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_TINY = 1e-12


def straight_through(latent_BC: Tensor, sums_LBC: Tensor) -> Tensor:
    """The gradient is handed to the latent vector as it is."""
    return sums_LBC + (latent_BC - latent_BC.detach())


def rotation(latent_BC: Tensor, sums_LBC: Tensor) -> Tensor:
    """The gradient is turned as the latent vector is turned into the sum of its codes, whichever level it was read at."""
    return torch.stack([turn(latent_BC, reached) for reached in sums_LBC])


def turn(vector_BC: Tensor, code_BC: Tensor) -> Tensor:
    """``code_BC`` as a rotation and a stretch of ``vector_BC``, both held constant: the gradient is turned with them.

    With unit vectors ``e`` (vector), ``q`` (code) and ``r`` along their sum, the rotation in the plane of the two is
    ``R = I - 2 r r' + 2 q e'``, and the stretch is the ratio ``s`` of the lengths: the vector's gradient is ``s R' g``.
    Where the two point in opposite ways or one is zero there is no such rotation: that row's gradient goes straight through.
    """
    with torch.no_grad():
        length, code_length = vector_BC.norm(dim=1, keepdim=True), code_BC.norm(dim=1, keepdim=True)
        e = vector_BC / length.clamp_min(_TINY)
        q = code_BC / code_length.clamp_min(_TINY)
        between = e + q
        r = F.normalize(between, dim=1, eps=_TINY)
        stretch = code_length / length.clamp_min(_TINY)
        possible = (between.norm(dim=1, keepdim=True) > 1e-4) & (length > _TINY) & (code_length > _TINY)
    along_r = (vector_BC * r).sum(1, keepdim=True)
    along_e = (vector_BC * e).sum(1, keepdim=True)
    turned = stretch * (vector_BC - 2 * along_r * r + 2 * along_e * q)
    return torch.where(possible, turned, vector_BC + (code_BC - vector_BC).detach())


GRADIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"rotation": rotation, "straight-through": straight_through}
"""By ``quantize.rqvae.gradient``."""
