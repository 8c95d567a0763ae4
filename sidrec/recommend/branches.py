"""A batch of prompts, read once, and a tree of tokens below each of them: what both decoders run on.

How the model's layers are run is left to the two kinds: ``AnyBranches`` for any causal language model of Hugging Face,
``Qwen3Branches`` for the tuned case.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

from sidrec.recommend.prompts import padded


class Branches(ABC):
    """Keys and values of a prompt are held once, however many tokens hang below it.

    Padding stands behind a prompt, where causal attention hides it: the prefill needs no mask, and so runs on the fast
    kernel. Appended tokens see their own prompt and the slots that they name, nothing else.

    ``last`` ``(B, D)`` is the final hidden state of each prompt's last token; ``used`` the slots taken so far, the
    (padded) prompt's included.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], room: int) -> None:
        """``room``: how many tokens will be appended to a prompt at most."""
        ids, lengths = padded(prompts)
        self.model, self.device = model, model.device
        self.lengths = torch.from_numpy(lengths).to(self.device)
        self.used = ids.shape[1]
        self.prompt_BP = torch.arange(self.used, device=self.device) < self.lengths[:, None]
        self.last = self._prefill(torch.from_numpy(ids).to(self.device), self.used + room)

    def append(self, tokens_BT: Tensor, below_BT: Tensor, row_E: Tensor, token_E: Tensor, slot_E: Tensor) -> Tensor:
        """Final hidden states ``(B, T, D)`` of new tokens, which take the slots ``used .. used + T - 1``.

        ``below_BT``: how far behind the prompt's end each token stands (0: right behind it). The edges ``row_E, token_E,
        slot_E`` (any shapes that broadcast) say which slots behind the prompt a token sees; it must see itself.
        """
        batch, count = tokens_BT.shape
        mask = torch.zeros(batch, count, self.used + count, dtype=torch.bool, device=self.device)
        mask[:, :, : self.prompt_BP.shape[1]] = self.prompt_BP[:, None]
        mask[row_E, token_E, slot_E] = True
        hidden = self._extend(tokens_BT, mask, self.lengths[:, None] + below_BT)
        self.used += count
        return hidden

    def fork(self, rows: Tensor, room: int) -> Self:
        """The prompts ``rows`` once more with nothing below them: another search needs no second prefill."""
        made = copy(self)
        made.lengths, made.prompt_BP, made.last = self.lengths[rows], self.prompt_BP[rows], self.last[rows]
        made.used = self.prompt_BP.shape[1]
        made._copy_cached(self, rows, made.used + room)
        return made

    def keep_rows(self, rows: Tensor) -> None:
        """Go on with some requests of the batch only."""
        self.lengths, self.prompt_BP = self.lengths[rows], self.prompt_BP[rows]
        self._keep_cached(rows)

    @abstractmethod
    def _prefill(self, ids_BP: Tensor, capacity: int) -> Tensor:
        """Read the prompts; the final hidden states ``(B, D)`` at ``lengths - 1``."""

    @abstractmethod
    def _extend(self, tokens_BT: Tensor, mask_BTS: Tensor, positions_BT: Tensor) -> Tensor:
        """Read tokens into the slots from ``used`` on."""

    @abstractmethod
    def _keep_cached(self, rows: Tensor) -> None: ...

    @abstractmethod
    def _copy_cached(self, source: Self, rows: Tensor, capacity: int) -> None:
        """Take over the keys and values of the first ``used`` slots of some rows."""


class AnyBranches(Branches):
    """Any causal language model with full attention, by its own forward and a mask of four axes."""

    def _prefill(self, ids_BP: Tensor, capacity: int) -> Tensor:
        self._layers = [SlotLayer(capacity) for _ in range(self.model.config.num_hidden_layers)]
        self._cache = Cache(layers=list(self._layers))
        hidden: Tensor = self.model.base_model(ids_BP, past_key_values=self._cache, use_cache=True)[0]
        return hidden[torch.arange(len(ids_BP), device=self.device), self.lengths - 1]

    def _extend(self, tokens_BT: Tensor, mask_BTS: Tensor, positions_BT: Tensor) -> Tensor:
        hidden: Tensor = self.model.base_model(
            tokens_BT,
            attention_mask=mask_BTS[:, None],
            position_ids=positions_BT,
            past_key_values=self._cache,
            use_cache=True,
        )[0]
        return hidden

    def _keep_cached(self, rows: Tensor) -> None:
        for layer in self._layers:
            layer.keep_rows(rows)

    def _copy_cached(self, source: Self, rows: Tensor, capacity: int) -> None:
        self._layers = [SlotLayer(capacity) for _ in source._layers]
        for layer, other in zip(self._layers, source._layers, strict=True):
            layer.update(other.key_slots[rows, :, : self.used], other.value_slots[rows, :, : self.used])
        self._cache = Cache(layers=list(self._layers))


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
        """Store behind what is there; everything stored so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.used = self.used, self.used + key_states.shape[-2]
        self.key_slots[:, :, start : self.used] = key_states
        self.value_slots[:, :, start : self.used] = value_states
        return self._show()

    def keep_rows(self, rows: Tensor) -> None:
        """Keep these rows of the batch."""
        self.key_slots, self.value_slots = self.key_slots[rows], self.value_slots[rows]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = self.key_slots[:, :, : self.used], self.value_slots[:, :, : self.used]
        return self.keys, self.values
