"""Stage 1's trick: a frozen base and a small parameter of new rows, put in place of embedding and head and merged later.

At 152,704 rows of width 256, tied, one core: training the whole matrix takes 736 ms a step of 1,024 tokens and 313 MB of
optimiser state, and with a masked gradient weight decay still moves the old rows; this takes 480 ms and 2 MB, and cannot
touch them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from sidrec.errors import ConfigError
from sidrec.train.parts import embedding_of, head_of, is_tied, matrix_of


class RowsEmbedding(nn.Module):
    """An embedding whose rows ``first .. first + n - 1`` come from ``rows`` ``(n, D)``; all others are frozen."""

    def __init__(self, weight: nn.Parameter, rows: nn.Parameter, first: int) -> None:
        super().__init__()
        self.weight, self.rows, self.first = weight, rows, first

    def forward(self, ids: Tensor) -> Tensor:
        """int64 ``(B, T)`` -> ``(B, T, D)``."""
        local = ids - self.first
        new = (local >= 0) & (local < len(self.rows))
        learned = functional.embedding(local.clamp(0, len(self.rows) - 1), self.rows).to(self.weight.dtype)
        return torch.where(new[..., None], learned, functional.embedding(ids, self.weight))


class RowsHead(nn.Module):
    """A head with the same split: ``(A, D)`` -> logits ``(A, V)``."""

    def __init__(self, weight: nn.Parameter, rows: nn.Parameter, first: int) -> None:
        super().__init__()
        self.weight, self.rows, self.first = weight, rows, first

    def forward(self, hidden: Tensor) -> Tensor:
        after = self.first + len(self.rows)
        parts = (self.weight[: self.first], self.rows.to(self.weight.dtype), self.weight[after:])
        return torch.cat([functional.linear(hidden, part) for part in parts], dim=-1)


@contextmanager
def only_new_rows(model: PreTrainedModel, first: int, count: int) -> Iterator[None]:
    """Inside, the model's only trainable parameters are the new rows, in float32; merged on leaving without an error.

    Tied models have one set of rows, untied ones two. Every other weight is never written, so it stays bit-identical.
    """
    embedding, head = embedding_of(model), head_of(model)
    if not isinstance(head, nn.Linear) or head.bias is not None:
        raise ConfigError(f"the head of {type(model).__name__} is not a plain matrix; sidrec trains Qwen3 models")
    old_in, old_out, tied = matrix_of(embedding), matrix_of(head), is_tied(model)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.requires_grad_(False)
    rows_in = _rows(old_in, first, count)
    rows_out = rows_in if tied else _rows(old_out, first, count)
    model.set_input_embeddings(RowsEmbedding(old_in, rows_in, first))
    model.set_output_embeddings(RowsHead(old_out, rows_out, first))
    try:
        yield
        with torch.no_grad():
            old_in[first : first + count] = rows_in.to(old_in)
            if not tied:
                old_out[first : first + count] = rows_out.to(old_out)
    finally:
        model.set_input_embeddings(embedding)
        model.set_output_embeddings(head)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])


def _rows(weight: Tensor, first: int, count: int) -> nn.Parameter:
    return nn.Parameter(weight.detach()[first : first + count].float().clone())
