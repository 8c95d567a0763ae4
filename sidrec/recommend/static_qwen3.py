"""Qwen3's layers with shapes that no request changes: what a CUDA graph can record.

The same numbers as ``Qwen3Branches``, from fewer and larger kernels, for on a GPU the beam steps wait for the start of
kernels and for weights, not for arithmetic: query, key and value are one product, gate and up another; the residual is
added within the product before it; one norm and one rotation serve queries and keys. Nothing here waits for the device.

What the beams see of the prompt goes through plain matrix products and a softmax. The fused kernels that take a mask walk along
the keys one block after the other: with 50 beams 16 blocks of queries would keep 16 of an H100's 132 processors busy. The
scores of all keys, which those kernels avoid to store, are small here (8 MB a request at 50 beams and 5,000 tokens). That is
reasoned, not measured: ``Kernels`` holds the alternatives, and ``benchmarks/bench_recommend_gpu.py`` runs them side by side.

Shapes: B requests, P slots of a prompt, W beams, T tokens, S slots in all, H heads, G groups of them that share keys, E
width of a head, D width of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from sidrec.recommend.qwen3 import Qwen3Branches

_FIXED_ROPE = ("default", "linear", "yarn", "llama3")  # the others change their frequencies with the length of the prompt


@dataclass(frozen=True, slots=True)
class Kernels:
    """How the same numbers are made.

    ``fused_attention``: one kernel where beams see the prompt. ``compiled``: what is done to each number alone becomes one
    kernel in place of five, by ``torch.compile``, which needs a C compiler, and a minute once.
    """

    fused_attention: bool = False
    compiled: bool = False


PLAIN = Kernels()


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's weights, products that read the same input side by side."""

    module: Any
    qkv: Tensor
    qkv_bias: Tensor | None
    gate_up: Tensor
    qk_norm: Tensor


class StaticQwen3:
    """A plain Qwen3 opened for static decoding.

    The matrices that stand side by side are one tensor, and the module's own parameters become views of it: no memory is
    spent twice.
    """

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Whether the model is one whose positions do not depend on the prompt's length."""
        return Qwen3Branches.fits(model) and model.base_model.rotary_emb.rope_type in _FIXED_ROPE  # type: ignore[union-attr,operator]

    def __init__(self, model: PreTrainedModel, kernels: Kernels = PLAIN) -> None:
        base: Any = model.base_model
        config = model.config
        self.device, self.dtype = model.device, model.dtype
        self.positions = int(config.max_position_embeddings)
        self.rows = int(config.vocab_size)
        self._base = base
        self._head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self._heads, self._groups = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._width = int(base.layers[0].self_attn.head_dim)
        self._eps = float(config.rms_norm_eps)
        self._fused = kernels.fused_attention
        self._turned: Callable[..., Tensor] = _turned
        self._gated: Callable[[Tensor], Tensor] = _gated
        if kernels.compiled:  # for any shape: a compilation a bucket would take minutes
            self._turned, self._gated = torch.compile(_turned, dynamic=True), torch.compile(_gated, dynamic=True)
        self._layers = [self._layer(module) for module in base.layers]
        with torch.inference_mode():
            every = torch.arange(self.positions, device=self.device)[None]
            cos, sin = base.rotary_emb(torch.empty(0, dtype=self.dtype, device=self.device), every)
            self._cos, self._sin = cos[0], sin[0, :, : self._width // 2].contiguous()  # the second half repeats the first
        self._opened = self._state()

    @property
    def outdated(self) -> bool:
        """Whether the model was moved or trained since: graphs read the old memory, and the head norms are copies."""
        return self._state() != self._opened

    def _state(self) -> tuple[int, int]:
        attention = self._base.layers[0].self_attn
        norm = attention.q_norm.weight
        return attention.q_proj.weight.data_ptr(), 0 if norm.is_inference() else norm._version

    def cache(self, batch: int, prompt: int, own: int) -> Tensor:
        """Slots for keys and values ``(layers, 2, B, G, prompt + own, E)``; the own ones are 0.

        A slot that no token fills is masked, which makes its weight 0: but 0 times a NaN that was left in memory is NaN.
        """
        made = torch.empty(
            (len(self._layers), 2, batch, self._groups, prompt + own, self._width), dtype=self.dtype, device=self.device
        )
        made[..., prompt:, :].zero_()
        return made

    def slot_bytes(self) -> int:
        """Bytes of the keys and values of one token."""
        return len(self._layers) * 2 * self._groups * self._width * self.dtype.itemsize

    def prefill(self, ids_BP: Tensor, lengths_B: Tensor, cache: Tensor) -> Tensor:
        """Read the prompts into the first ``P`` slots; final hidden states ``(B, D)`` at ``lengths - 1``.

        Padding stands behind a prompt, where causal attention hides it.
        """
        length = ids_BP.shape[1]
        hidden = self._base.embed_tokens(ids_BP)
        cos, sin = self._cos[:length, None], self._sin[:length, None]
        for layer, slots in zip(self._layers[:-1], cache[:-1], strict=True):
            query = self._project(layer, slots, hidden, cos, sin, 0)
            key, value = slots[:, :, :, :length]
            attended = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, is_causal=True, enable_gqa=True)
            hidden = self._finish(layer, hidden, attended.transpose(1, 2))
        # Of the last layer only each prompt's last token is asked for; the others are just keys and values there.
        query = self._project(self._layers[-1], cache[-1], hidden, cos, sin, 0)
        at = (lengths_B - 1)[:, None, None]
        hidden = hidden.gather(1, at.expand(-1, -1, hidden.shape[2]))
        query = query.gather(1, at[..., None].expand(-1, -1, *query.shape[2:]))
        seen = torch.arange(length, device=self.device) < lengths_B[:, None]
        bias = self.bias(seen[:, None])
        return self._norm(self._base.norm, self._attend(self._layers[-1], cache[-1], hidden, query, bias))[:, 0]

    def extend(self, tokens_BT: Tensor, positions_BT: Tensor, cache: Tensor, start: int, bias: Tensor) -> Tensor:
        """Read tokens into the slots from ``start`` on; final hidden states ``(B, T, D)``. ``bias`` as ``bias`` makes it."""
        hidden = self._base.embed_tokens(tokens_BT)
        cos, sin = self._cos[positions_BT][:, :, None], self._sin[positions_BT][:, :, None]
        for layer, slots in zip(self._layers, cache, strict=True):
            query = self._project(layer, slots, hidden, cos, sin, start)
            hidden = self._attend(layer, slots, hidden, query, bias)
        return self._norm(self._base.norm, hidden)

    def bias(self, seen_BTS: Tensor) -> Tensor:
        """Additive mask ``(B, 1, H / G * T, S)``: the heads of a group stand behind each other on the token axis."""
        made = torch.zeros(seen_BTS.shape, dtype=self.dtype, device=self.device).masked_fill_(~seen_BTS, float("-inf"))
        return made.repeat(1, self._heads // self._groups, 1)[:, None]

    def logits(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        """float32 logits ``(..., stop - start)`` of a level's tokens, multiplied in float32 too.

        In bfloat16 a logit near 20 is a multiple of 1/8, so that many codes would tie; the slice is small enough.
        """
        return F.linear(hidden.float(), self._head.weight[start:stop].float())

    def all_logits(self, hidden_ND: Tensor) -> Tensor:
        """float32 logits ``(N, vocabulary)``, multiplied in the model's own type: a float32 copy of the head is too large."""
        return F.linear(hidden_ND, self._head.weight).float()

    def _project(self, layer: _Layer, slots: Tensor, hidden: Tensor, cos: Tensor, sin: Tensor, start: int) -> Tensor:
        """Store the keys and values of ``hidden (B, T, D)`` from slot ``start`` on; the queries ``(B, T, H, E)``."""
        both = self._heads + self._groups
        normed = self._norm(layer.module.input_layernorm, hidden)
        qkv = F.linear(normed, layer.qkv, layer.qkv_bias).view(*hidden.shape[:2], both + self._groups, self._width)
        turned = self._turned(qkv, layer.qk_norm, cos, sin, self._eps)
        stop = start + hidden.shape[1]
        slots[0, :, :, start:stop] = turned[:, :, self._heads :].transpose(1, 2)
        slots[1, :, :, start:stop] = qkv[:, :, both:].transpose(1, 2)
        return turned[:, :, : self._heads]

    def _attend(self, layer: _Layer, slots: Tensor, hidden: Tensor, query: Tensor, bias: Tensor) -> Tensor:
        """The rest of a layer where a mask says what is seen of the first ``S`` slots."""
        batch, count = query.shape[:2]
        grouped = query.transpose(1, 2).reshape(batch, self._groups, -1, self._width)
        key, value = slots[:, :, :, : bias.shape[-1]]
        if self._fused:
            attended = F.scaled_dot_product_attention(grouped, key, value, bias)
        else:
            scores = grouped @ key.transpose(2, 3)
            attended = torch.add(bias, scores, alpha=self._width**-0.5).softmax(-1) @ value
        return self._finish(layer, hidden, attended.reshape(batch, self._heads, count, self._width).transpose(1, 2))

    def _finish(self, layer: _Layer, hidden: Tensor, attended: Tensor) -> Tensor:
        """Output projection and MLP, with their residuals."""
        shape = hidden.shape
        out = layer.module.self_attn.o_proj
        flat = self._plus(hidden.reshape(-1, shape[-1]), attended.reshape(-1, self._heads * self._width), out)
        gate_up = F.linear(self._norm(layer.module.post_attention_layernorm, flat), layer.gate_up)
        return self._plus(flat, self._gated(gate_up), layer.module.mlp.down_proj).view(shape)

    @staticmethod
    def _plus(residual: Tensor, x: Tensor, linear: Any) -> Tensor:
        """``residual + linear(x)``, all ``(N, D)``, in one product."""
        made = torch.addmm(residual, x, linear.weight.T)
        return made if linear.bias is None else made.add_(linear.bias)

    @staticmethod
    def _norm(module: Any, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], module.weight, module.variance_epsilon)

    def _layer(self, module: Any) -> _Layer:
        attention, mlp = module.self_attn, module.mlp
        linears = (attention.q_proj, attention.k_proj, attention.v_proj)
        biases = [linear.bias for linear in linears if linear.bias is not None]
        norms = [attention.q_norm.weight] * self._heads + [attention.k_norm.weight] * self._groups
        return _Layer(
            module,
            side_by_side([linear.weight for linear in linears]),
            side_by_side(biases) if biases else None,
            side_by_side([mlp.gate_proj.weight, mlp.up_proj.weight]),
            torch.stack(norms).detach(),
        )


def _turned(qkv: Tensor, norm: Tensor, cos: Tensor, sin: Tensor, eps: float) -> Tensor:
    """Queries and keys ``(B, T, H + G, E)``, normed and rotated, of ``qkv (B, T, H + 2 G, E)``; ``norm (H + G, E)``."""
    half = norm.shape[1] // 2
    # The values' norms are thrown away: cutting them off before would cost a copy.
    qk = F.rms_norm(qkv, norm.shape[1:], None, eps)[:, :, : len(norm)] * norm
    turned = qk * cos
    turned[..., :half].addcmul_(qk[..., half:], sin, value=-1)
    turned[..., half:].addcmul_(qk[..., :half], sin)
    return turned


def _gated(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


@torch.no_grad()
def side_by_side(parameters: list[nn.Parameter]) -> Tensor:
    """One tensor of the parameters' rows behind each other; each parameter becomes a view of it, if it is not yet.

    >>> one, other = nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.ones(1, 3))
    >>> both = side_by_side([one, other])
    >>> one.data.fill_(5.0).sum().item(), both.sum().item(), side_by_side([one, other]).data_ptr() == both.data_ptr()
    (30.0, 33.0, True)
    """
    first, rows = parameters[0].data, sum(len(p) for p in parameters)
    shape = (rows, *first.shape[1:])
    at = first.data_ptr()
    shared = True
    for parameter in parameters:
        one_storage = parameter.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        shared = shared and one_storage and parameter.is_contiguous() and parameter.data_ptr() == at
        at += parameter.numel() * parameter.element_size()
    if shared and len(parameters) > 1:
        return first.as_strided(shape, first.stride(), first.storage_offset())
    made = torch.cat([parameter.data for parameter in parameters])
    start = 0
    for parameter in parameters:
        parameter.data = made[start : start + len(parameter)]
        start += len(parameter)
    return made
