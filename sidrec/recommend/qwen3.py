"""The tuned case: Qwen3's layers run for prompts and trees, with nothing that decoding does not need.

The same numbers as ``transformers``' module (``Decoder`` compares them on the model itself when it is opened) from
fewer operations: norms in one kernel, rotary embedding in place, heads of a group side by side instead of repeated
keys; and in the last layer of the prefill only each prompt's last token goes through attention and MLP, for nobody
asks for the others. Measured on 2 CPU cores, hidden 256, 4 layers, 200 tokens: a prefill in 0.75 of the time.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, Qwen3ForCausalLM

from sidrec.recommend.branches import Branches


class Qwen3Branches(Branches):
    """``Branches`` of a plain Qwen3. Heads H, groups of them that share keys G, head width E."""

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Whether the model is one; a subclass may compute something else."""
        return type(model) is Qwen3ForCausalLM and model.config.hidden_act == "silu"

    def _prefill(self, ids_BP: Tensor, capacity: int) -> Tensor:
        base: Any = self.model.base_model
        self._base, config = base, self.model.config
        self._heads, self._groups = config.num_attention_heads, config.num_key_value_heads
        self._width: int = base.layers[0].self_attn.head_dim
        batch, length = ids_BP.shape
        self._cache = self._slots(batch, capacity)
        hidden = base.embed_tokens(ids_BP)
        cos, sin = self._rotary(hidden, torch.arange(length, device=self.device)[None])
        for layer, cache in zip(base.layers[:-1], self._cache[:-1], strict=True):
            normed = self._store(layer, cache, hidden, cos, sin, 0)
            query = self._query(layer, normed, cos, sin)
            key, value = cache[:, :, :, :length]
            attended = F.scaled_dot_product_attention(query.transpose(1, 2), key, value, is_causal=True, enable_gqa=True)
            hidden = self._finish(layer, hidden, attended.transpose(1, 2))
        layer, cache, last = base.layers[-1], self._cache[-1], self.lengths - 1
        rows = torch.arange(batch, device=self.device)
        normed = self._store(layer, cache, hidden, cos, sin, 0)[rows, last][:, None]
        query = self._query(layer, normed, cos[0, last][:, None], sin[0, last][:, None])
        bias = self._bias(self.prompt_BP[:, None], hidden.dtype)
        end: Tensor = base.norm(self._attend(layer, cache, hidden[rows, last][:, None], query, bias))
        return end[:, 0]

    def _extend(self, tokens_BT: Tensor, mask_BTS: Tensor, positions_BT: Tensor) -> Tensor:
        hidden = self._base.embed_tokens(tokens_BT)
        cos, sin = self._rotary(hidden, positions_BT)
        bias = self._bias(mask_BTS, hidden.dtype)
        for layer, cache in zip(self._base.layers, self._cache, strict=True):
            query = self._query(layer, self._store(layer, cache, hidden, cos, sin, self.used), cos, sin)
            hidden = self._attend(layer, cache, hidden, query, bias)
        end: Tensor = self._base.norm(hidden)
        return end

    def _keep_cached(self, rows: Tensor) -> None:
        self._cache = [cache[:, rows] for cache in self._cache]

    def _copy_cached(self, source: Self, rows: Tensor, capacity: int) -> None:
        self._cache = self._slots(len(rows), capacity)
        for cache, other in zip(self._cache, source._cache, strict=True):
            cache[:, :, :, : self.used] = other[:, rows, :, : self.used]

    def _slots(self, batch: int, capacity: int) -> list[Tensor]:
        """Keys and values ``(2, B, G, capacity, E)`` of each layer."""
        shape = (len(self._base.layers), 2, batch, self._groups, capacity, self._width)
        return list(torch.empty(shape, dtype=self.model.dtype, device=self.device))

    def _rotary(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines ``(B or 1, T, 1, E)`` and the first half of the sines, which the second repeats."""
        cos, sin = self._base.rotary_emb(hidden, positions)
        return cos[:, :, None], sin[:, :, None, : self._width // 2]

    def _bias(self, mask_BTS: Tensor, dtype: torch.dtype) -> Tensor:
        """Additive ``(B, 1, H / G * T, S)``: the heads of a group stand behind each other on the token axis."""
        bias = torch.zeros(mask_BTS.shape, dtype=dtype, device=self.device).masked_fill_(~mask_BTS, float("-inf"))
        return bias.repeat(1, self._heads // self._groups, 1)[:, None]

    def _store(self, layer: Any, cache: Tensor, hidden: Tensor, cos: Tensor, sin: Tensor, start: int) -> Tensor:
        """Cache the keys and values of ``hidden (B, T, D)`` from slot ``start`` on; its norm, which the queries need."""
        attention = layer.self_attn
        shape = (*hidden.shape[:2], self._groups, self._width)
        normed = _norm(layer.input_layernorm, hidden)
        key = _rotate(_norm(attention.k_norm, attention.k_proj(normed).view(shape)), cos, sin)
        slots = cache[:, :, :, start : start + hidden.shape[1]]
        slots[0] = key.transpose(1, 2)
        slots[1] = attention.v_proj(normed).view(shape).transpose(1, 2)
        return normed

    def _query(self, layer: Any, normed: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """``(B, T, H, E)``."""
        attention = layer.self_attn
        query = attention.q_proj(normed).view(*normed.shape[:2], self._heads, self._width)
        return _rotate(_norm(attention.q_norm, query), cos, sin)

    def _attend(self, layer: Any, cache: Tensor, hidden: Tensor, query: Tensor, bias: Tensor) -> Tensor:
        """The rest of a layer where a mask says what is seen."""
        batch, count = query.shape[:2]
        grouped = query.transpose(1, 2).reshape(batch, self._groups, -1, self._width)
        key, value = cache[:, :, :, : bias.shape[-1]]
        attended = F.scaled_dot_product_attention(grouped, key, value, bias)
        return self._finish(layer, hidden, attended.reshape(batch, self._heads, count, self._width).transpose(1, 2))

    @staticmethod
    def _finish(layer: Any, hidden: Tensor, attended: Tensor) -> Tensor:
        """Output projection and MLP, with their residuals."""
        hidden = hidden + layer.self_attn.o_proj(attended.flatten(2))
        normed = _norm(layer.post_attention_layernorm, hidden)
        inner = F.silu(layer.mlp.gate_proj(normed)).mul_(layer.mlp.up_proj(normed))
        return hidden.add_(layer.mlp.down_proj(inner))


def _norm(module: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], module.weight, module.variance_epsilon)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x * cos + rotate_half(x) * sin`` over the last axis of ``(B, T, heads, E)``."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin, value=-1)
    out[..., half:].addcmul_(x[..., :half], sin)
    return out
