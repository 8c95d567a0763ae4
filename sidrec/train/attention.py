"""Causal attention inside each document of a packed row, registered with transformers as ``sidrec_packed``.

A mask over the whole row costs O(T^2) memory and time. Here documents of similar length are gathered into a few padded
buckets ``(n, L)``. Padding stands behind each document, so a causal mask alone hides it. The gather plan is made once a
batch and shared by all layers.

One layer, forward and backward, 8,192 tokens in 101 documents of 30-130, 4 heads of 32 and 2 key heads, one core:

=============================================  =======  ========
how                                            float32  bfloat16
=============================================  =======  ========
mask over the row                              2,635 ms        -
scaled_dot_product_attention, each document      115 ms   203 ms
scaled_dot_product_attention, each bucket         55 ms   120 ms
batched products of each bucket (``_Short``)      46 ms    25 ms
=============================================  =======  ========
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel

try:
    from torch.nn.attention import varlen
except ImportError:  # torch without it, or built without flash attention
    varlen = None  # type: ignore[assignment]

NAME = "sidrec_packed"
_BUCKET_RATIO = 0.85  # shortest to longest document of a bucket: 8 buckets and 6 % padding on 30-130 tokens
_SHORT_SCORES = 2**25  # attention scores that a layer may keep for the backward pass (128 MB in float32)


@dataclass(frozen=True, slots=True)
class Documents:
    """Where the documents of one packed row of T tokens lie, for all layers.

    ``bounds`` int32 ``(n + 1,)``: cumulative lengths. ``buckets``: number and padded length of the documents of each
    bucket, behind each other in ``P`` padded slots. ``gather`` int64 ``(P,)``: slot -> packed position (padding repeats
    its document's last token); ``scatter`` int64 ``(T,)``: packed position -> slot; ``real`` bool ``(P, 1)``: no padding.
    """

    bounds: Tensor
    longest: int
    buckets: tuple[tuple[int, int], ...]
    gather: Tensor
    scatter: Tensor
    real: Tensor

    @classmethod
    def of(cls, lengths: NDArray[np.int64], device: torch.device | str = "cpu") -> Documents:
        """From the lengths of the documents, in packed order."""
        ends = np.cumsum(lengths)
        order = np.argsort(-lengths, kind="stable")
        buckets: list[tuple[int, int]] = []
        gather: list[NDArray[np.int64]] = []
        real: list[NDArray[np.bool_]] = []
        while len(order):
            longest = int(lengths[order[0]])
            inside = int(np.searchsorted(-lengths[order], -_BUCKET_RATIO * longest, side="right"))
            rows, order = order[:inside, None], order[inside:]
            columns = np.arange(longest)
            gather.append(np.minimum(ends[rows] - lengths[rows] + columns, ends[rows] - 1).ravel())
            real.append((columns < lengths[rows]).ravel())
            buckets.append((inside, longest))
        position, kept = np.concatenate(gather), np.concatenate(real)
        scatter = np.empty(int(ends[-1]), dtype=np.int64)
        scatter[position[kept]] = np.flatnonzero(kept)
        bounds = np.concatenate(([0], ends)).astype(np.int32)
        arrays = (torch.from_numpy(x).to(device) for x in (bounds, position, scatter, kept[:, None]))
        bounds_t, gather_t, scatter_t, real_t = arrays
        return cls(bounds_t, int(lengths.max()), tuple(buckets), gather_t, scatter_t, real_t)

    @property
    def scores(self) -> int:
        """Attention scores of one head."""
        return sum(n * length * length for n, length in self.buckets)


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Inside, ``model(..., documents=Documents)`` attends within documents; afterwards the model is as it was."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def packed_attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    *,
    documents: Documents,
    **_: Any,
) -> tuple[Tensor, None]:
    """The interface of transformers: query ``(1, H, T, D)``, key and value ``(1, Hk, T, D)`` -> ``(1, T, H, D)``."""
    query_THD, key_TKD, value_TKD = (x[0].transpose(0, 1) for x in (query, key, value))
    if varlen is not None and query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        out = _varlen(query_THD, key_TKD, value_TKD, documents, scaling)
    elif not query.is_cuda and documents.scores * query.shape[1] <= _SHORT_SCORES:
        out = _apply(_Short, query_THD, key_TKD, value_TKD, documents, scaling)
    else:
        out = _bucketed(query_THD, key_TKD, value_TKD, documents, scaling)
    return out[None], None


def _varlen(query: Tensor, key: Tensor, value: Tensor, documents: Documents, scaling: float) -> Tensor:
    """CUDA's variable-length kernel. Its signature changed between torch versions, so its parameters are looked up."""
    attend: Callable[..., Any] = varlen.varlen_attn
    known = inspect.signature(attend).parameters
    options: dict[str, Any] = {"scale": scaling} if "scale" in known else {}
    options |= {"is_causal": True} if "is_causal" in known else {"window_size": (-1, 0)}
    if "scale" not in known:  # the kernel then divides by the square root of the width
        query = query * (scaling * query.shape[-1] ** 0.5)
    if key.shape[1] != query.shape[1]:
        if "enable_gqa" in known:
            options["enable_gqa"] = True
        else:
            key, value = (x.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for x in (key, value))
    bounds, longest = documents.bounds, documents.longest
    out: Tensor = attend(query.contiguous(), key.contiguous(), value.contiguous(), bounds, bounds, longest, longest, **options)
    return out


def _bucketed(query: Tensor, key: Tensor, value: Tensor, documents: Documents, scaling: float) -> Tensor:
    """One ``scaled_dot_product_attention`` a bucket: for long documents, whose scores would not fit into memory."""
    padded = [_apply(_Rows, x.flatten(1), documents.gather, documents.scatter, None) for x in (query, key, value)]
    outputs: list[Tensor] = []
    at = 0
    for n, length in documents.buckets:
        q, k, v = (
            p[at : at + n * length].view(n, length, -1, query.shape[-1]).transpose(1, 2) for p in padded
        )  # fmt: skip
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
        outputs.append(out.transpose(1, 2).reshape(n * length, -1))
        at += n * length
    out_TC = _apply(_Rows, torch.cat(outputs), documents.scatter, documents.gather, documents.real)
    return out_TC.view_as(query)


def _apply(function: Any, *arguments: Any) -> Tensor:
    """``Function.apply`` with a type."""
    out: Tensor = function.apply(*arguments)
    return out


class _Rows(torch.autograd.Function):
    """``x[index]`` whose gradient is a gather too (``grad[back]``, zeroed where ``real`` is False), never a scatter-add."""

    @staticmethod
    def forward(ctx: Any, x_SC: Tensor, index: Tensor, back: Tensor, real: Tensor | None) -> Tensor:
        ctx.back, ctx.real = back, real
        return x_SC.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        grad = grads[0].index_select(0, ctx.back)
        return (grad if ctx.real is None else grad * ctx.real), None, None, None


class _Short(torch.autograd.Function):
    """Softmax attention of each bucket by batched matrix products, with a written backward pass.

    The query heads of one key head are stacked along the rows, so no key is repeated. Autograd over the same products
    costs a third more (slices, zero fills), and the flash kernel of the CPU is made for long rows and slow in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, documents: Documents, scaling: float) -> Tensor:
        (tokens, heads, width), key_heads = query.shape, key.shape[1]
        group = heads // key_heads
        query_PC, key_PC, value_PC = (x.reshape(tokens, -1).index_select(0, documents.gather) for x in (query, key, value))
        out_PC = torch.empty_like(query_PC)
        saved: list[Tensor] = []
        at = 0
        for n, length in documents.buckets:
            rows = slice(at, at + n * length)
            at += n * length
            q = _stack(query_PC[rows], n, length, key_heads, group, width)
            k = _stack(key_PC[rows], n, length, key_heads, 1, width)
            v = _stack(value_PC[rows], n, length, key_heads, 1, width)
            later = torch.full((length, length), float("-inf"), dtype=q.dtype).triu(1).repeat(group, 1)
            scores = torch.baddbmm(later.expand(n * key_heads, -1, -1), q, k.transpose(1, 2), alpha=scaling)
            weights = torch.softmax(scores, -1)
            _unstack(out_PC[rows], torch.bmm(weights, v), n, length, key_heads, group, width)
            saved += [q, k, v, weights]
        ctx.save_for_backward(*saved)
        ctx.documents, ctx.scaling, ctx.shape = documents, scaling, (tokens, key_heads, group, width)
        return out_PC.index_select(0, documents.scatter).view(tokens, heads, width)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        documents: Documents = ctx.documents
        saved = ctx.saved_tensors  # once: under gradient checkpointing a second look would recompute
        tokens, key_heads, group, width = ctx.shape
        grad_PC = grads[0].reshape(tokens, -1).index_select(0, documents.gather).mul_(documents.real)
        grad_query = torch.empty_like(grad_PC)
        grad_key = grad_PC.new_empty(len(grad_PC), key_heads * width)
        grad_value = torch.empty_like(grad_key)
        at = 0
        for bucket, (n, length) in enumerate(documents.buckets):
            rows = slice(at, at + n * length)
            at += n * length
            q, k, v, weights = saved[4 * bucket : 4 * bucket + 4]
            grad = _stack(grad_PC[rows], n, length, key_heads, group, width)
            _unstack(grad_value[rows], torch.bmm(weights.transpose(1, 2), grad), n, length, key_heads, 1, width)
            # torch's own softmax backward, the one that autograd calls
            inner = torch._softmax_backward_data(torch.bmm(grad, v.transpose(1, 2)), weights, -1, weights.dtype)
            by_query = torch.baddbmm(q, inner, k, beta=0, alpha=ctx.scaling)
            _unstack(grad_query[rows], by_query, n, length, key_heads, group, width)
            by_key = torch.baddbmm(k, inner.transpose(1, 2), q, beta=0, alpha=ctx.scaling)
            _unstack(grad_key[rows], by_key, n, length, key_heads, 1, width)
        back = [x.index_select(0, documents.scatter).view(tokens, -1, width) for x in (grad_query, grad_key, grad_value)]
        return back[0], back[1], back[2], None, None


def _stack(x_PC: Tensor, n: int, length: int, key_heads: int, group: int, width: int) -> Tensor:
    """``(n * L, Hk * group * D)`` -> ``(n * Hk, group * L, D)``."""
    split = x_PC.view(n, length, key_heads, group, width).permute(0, 2, 3, 1, 4)
    return split.reshape(n * key_heads, group * length, width)


def _unstack(into_PC: Tensor, x: Tensor, n: int, length: int, key_heads: int, group: int, width: int) -> None:
    """The inverse of ``_stack``, written into ``into_PC``."""
    split = x.view(n, key_heads, group, length, width).permute(0, 3, 1, 2, 4)
    into_PC.view(n, length, key_heads, group, width).copy_(split)


AttentionInterface.register(NAME, packed_attention_forward)
