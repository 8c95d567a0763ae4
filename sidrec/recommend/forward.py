"""The model as the decoders see it: a prompt's keys and values held once, and tokens hung below it as a tree.

Any Hugging Face causal language model with full attention serves; what the decoder relies on is tried out by ``checked``
on the model itself, because a mask that is silently ignored gives plausible and wrong scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from sidrec.errors import ArtifactError, DataError

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the largest logit; half precision: 5e-2


class SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer in a buffer of fixed capacity: what is cached is never copied again.

    (``DynamicLayer`` concatenates, which copies every prompt once more for each step.)
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity = capacity

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        batch, heads, _, width = key_states.shape
        self.key_slots = key_states.new_empty(batch, heads, self.capacity, width)
        self.value_slots = value_states.new_empty(batch, heads, self.capacity, value_states.shape[-1])
        self.used = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.used = self.used, self.used + key_states.shape[-2]
        self.key_slots[:, :, start : self.used] = key_states
        self.value_slots[:, :, start : self.used] = value_states
        return self._show()

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these requests of the batch."""
        self.key_slots, self.value_slots = self.key_slots[rows], self.value_slots[rows]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = self.key_slots[:, :, : self.used], self.value_slots[:, :, : self.used]
        return self.keys, self.values


def padded(prompts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids ``(B, P)``, padded behind with 0, and lengths ``(B,)``."""
    lengths = np.fromiter(map(len, prompts), dtype=np.int64, count=len(prompts))
    ids = np.zeros((len(prompts), int(lengths.max())), dtype=np.int64)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    return ids, lengths


class Branches:
    """A batch of prompts, read once, and the tokens appended below each of them.

    Padding stands behind a prompt, where causal attention hides it: the prefill needs no mask, and so runs on the fast
    kernel. Appended tokens see their own prompt and the slots that they name, nothing else.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int) -> None:
        """``room``: how many tokens will be appended to a prompt at most."""
        ids, lengths = padded(prompts)
        self._base = model.base_model
        self.device = model.device
        self.lengths = torch.from_numpy(lengths).to(self.device)
        self._layers = [SlotLayer(ids.shape[1] + room) for _ in range(model.config.num_hidden_layers)]
        self._cache = Cache(layers=list(self._layers))
        self.used = ids.shape[1]
        hidden = self._base(torch.from_numpy(ids).to(self.device), past_key_values=self._cache, use_cache=True)[0]
        self.last = hidden[torch.arange(len(ids), device=self.device), self.lengths - 1]
        self._prompt = torch.arange(self.used, device=self.device) < self.lengths[:, None]

    def append(self, tokens_BT: Tensor, below_BT: Tensor, row_E: Tensor, token_E: Tensor, slot_E: Tensor) -> Tensor:
        """Final hidden states ``(B, T, D)`` of new tokens, which take the slots ``used .. used + T - 1``.

        ``below_BT``: how far behind the prompt's end each token stands (0: right behind it). The edges ``row_E, token_E,
        slot_E`` say which slots behind the prompt a token sees; it must see itself.
        """
        batch, count = tokens_BT.shape
        mask = torch.zeros(batch, count, self.used + count, dtype=torch.bool, device=self.device)
        mask[:, :, : self._prompt.shape[1]] = self._prompt[:, None]
        mask[row_E, token_E, slot_E] = True
        self.used += count
        hidden: Tensor = self._base(
            tokens_BT,
            attention_mask=mask[:, None],
            position_ids=self.lengths[:, None] + below_BT,
            past_key_values=self._cache,
            use_cache=True,
        )[0]
        return hidden

    def keep_rows(self, rows: Tensor) -> None:
        """Go on with some requests of the batch only."""
        for layer in self._layers:
            layer.keep_rows(rows)
        self.lengths, self._prompt = self.lengths[rows], self._prompt[rows]


@dataclass(frozen=True, slots=True)
class Head:
    """The output embedding, of which a level needs only its own rows."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, model: PreTrainedModel) -> Head:
        """The head of a model."""
        layer: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        return cls(layer.weight, getattr(layer, "bias", None))

    def logits(self, hidden_ND: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """float32 logits of the tokens ``start`` .. ``stop - 1``; default: all."""
        bias = None if self.bias is None else self.bias[start:stop]
        return F.linear(hidden_ND, self.weight[start:stop], bias).float()


def input_rows(model: PreTrainedModel) -> int:
    """How many token ids the model can read."""
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[0])


def longest_prompt(model: PreTrainedModel, behind: int) -> int:
    """Tokens that a prompt may have when ``behind`` more follow it."""
    return int(getattr(model.config, "max_position_embeddings", 1 << 30)) - behind


def check_prompts(model: PreTrainedModel, prompts: Sequence[Sequence[int]], behind: int) -> None:
    """Refuse what the model cannot read.

    Raises:
        DataError: a prompt is too long, or holds an id that is no row of the embedding.
    """
    limit = longest_prompt(model, behind)
    rows = input_rows(model)
    for number, prompt in enumerate(prompts):
        if len(prompt) > limit:
            raise DataError(
                f"prompt {number} has {len(prompt)} tokens; the model reads {limit} and the {behind} of the answer: "
                "shorten the history or the text"
            )
        if len(prompt) and (min(prompt) < 0 or max(prompt) >= rows):
            raise DataError(
                f"prompt {number} holds token ids outside 0..{rows - 1}, the rows of the model's embedding: "
                "it was rendered for another model"
            )


@torch.inference_mode()
def checked(model: PreTrainedModel, probe: tuple[int, int, int]) -> Head:
    """The model's head, after comparing two branches below one prompt with the model's plain forward of each.

    ``probe``: the prompt's token and those of the branches.

    Raises:
        ArtifactError: the model cannot be decoded this way.
    """
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or model.config._attn_implementation != "sdpa":
        raise ArtifactError(
            f"the decoder needs a model of full attention run by 'sdpa', found layers {sorted(kinds)} run by "
            f"{model.config._attn_implementation!r}; load the folder with sidrec.recommend.load_model"
        )
    head = Head.of(model)
    prompt, *tips = probe
    branches = Branches(model, [[prompt]], room=2)
    see = torch.arange(2, device=model.device)
    tokens = torch.tensor([tips], device=model.device)
    hidden = branches.append(tokens, torch.zeros_like(tokens), torch.zeros_like(see), see, see + 1)
    found = head.logits(hidden[0])
    plain = model(torch.tensor([[prompt, tip] for tip in tips], device=model.device), use_cache=False).logits[:, -1].float()
    gap = float((found - plain).abs().max() / plain.abs().max().clamp(min=1.0))
    if not gap <= _TOLERANCE.get(model.dtype, 5e-2):
        raise ArtifactError(
            f"two beams below one prompt do not give this model's own logits (relative difference {gap:.2g}): it scales "
            "or masks in a way that sidrec's decoder does not know, or its weights are damaged"
        )
    return head
