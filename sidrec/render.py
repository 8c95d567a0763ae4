"""Conversation -> token ids and loss mask: one template for train, evaluate and serve.

The template is Qwen3's chat form without the thinking block::

    <|im_start|>user\n...<|im_end|>\n<|im_start|>assistant\n...<|im_end|>\n

Control tokens are placed by id, never by text. Everything that is not a SID span is untrusted and goes through a
copy of the tokenizer that has no added tokens, so a product title that spells ``<|im_end|>`` or ``<|sid_start|>``
stays a string of ordinary tokens. (`split_special_tokens=True` would still let added tokens through.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sidrec.errors import ArtifactError
from sidrec.types import Conversation, Message
from sidrec.vocabulary import STRUCTURE, SidVocabulary

TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
_CACHED_TEXTS = 200_000  # wordings and titles come back in many conversations


@dataclass(frozen=True, slots=True)
class Rendered:
    """int32 token ids ``(T,)`` and a bool mask ``(T,)`` of the tokens that the loss counts."""

    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]


def without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that knows no added token: the encoder of untrusted text."""
    state: dict[str, Any] = json.loads(tokenizer.to_str())
    state["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(state))


@dataclass
class Renderer:
    """Renders for one tokenizer (with the SID tokens added) and one SID vocabulary."""

    tokenizer: Tokenizer
    vocabulary: SidVocabulary
    _cache: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for expected, name in enumerate(STRUCTURE, start=self.vocabulary.first_id):
            found = self.tokenizer.token_to_id(name)
            if found != expected:
                raise ArtifactError(
                    f"the tokenizer gives {name} the id {found}, the codes expect {expected}: "
                    "tokenizer and semantic IDs are of different runs; run `sidrec train-vocabulary` again"
                )
        self._control_id(TURN_START)
        self._control_id(TURN_END)

    def _control_id(self, name: str) -> int:
        found = self.tokenizer.token_to_id(name)
        if found is None:
            raise ArtifactError(f"the tokenizer has no token {name}: sidrec needs a Qwen3 tokenizer")
        return found

    @cached_property
    def _plain(self) -> Tokenizer:
        return without_added_tokens(self.tokenizer)

    @cached_property
    def turn_end_id(self) -> int:
        """Ends an answer: the end-of-sequence id of generation."""
        return self._control_id(TURN_END)

    @cached_property
    def _turn_start_id(self) -> int:
        return self._control_id(TURN_START)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of untrusted text; never a control token."""
        ids = self._cache.get(text)
        if ids is None:
            if len(self._cache) >= _CACHED_TEXTS:
                self._cache.clear()
            ids = self._cache[text] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def content_ids(self, message: Message) -> list[int]:
        """Token ids of a message's content: its spans as SID tokens, the rest as text."""
        ids: list[int] = []
        at = 0
        for start, end in message.spans:
            if start > at:
                ids += self.text_ids(message.content[at:start])
            ids += self.vocabulary.ids_of_text(message.content[start:end])
            at = end
        if at < len(message.content):
            ids += self.text_ids(message.content[at:])
        return ids

    def conversation(self, conversation: Conversation) -> Rendered:
        """Ids of all turns; the loss counts each assistant turn's content and its end-of-turn token."""
        ids: list[int] = []
        mask: list[bool] = []
        newline = self.text_ids("\n")
        for message in conversation.messages:
            learn = message.role == "assistant"
            head = [self._turn_start_id, *self.text_ids(f"{message.role}\n")]
            body = [*self.content_ids(message), self.turn_end_id]
            ids += [*head, *body, *newline]
            mask += [False] * len(head) + [learn] * len(body) + [False] * len(newline)
        return Rendered(np.asarray(ids, dtype=np.int32), np.asarray(mask, dtype=np.bool_))

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids up to where the model's answer starts.

        A last message by the assistant is an answer already begun: its content is given and its turn left open.
        """
        ids: list[int] = []
        newline = self.text_ids("\n")
        opened = bool(messages) and messages[-1].role == "assistant"
        for i, message in enumerate(messages):
            ids += [self._turn_start_id, *self.text_ids(f"{message.role}\n"), *self.content_ids(message)]
            if not (opened and i == len(messages) - 1):
                ids += [self.turn_end_id, *newline]
        if not opened:
            ids += [self._turn_start_id, *self.text_ids("assistant\n")]
        return ids
