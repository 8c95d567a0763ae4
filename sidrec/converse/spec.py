"""What a task is: the rows it can be made of, how a row becomes question and answer, and its wordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidrec.converse.purchases import Purchases
from sidrec.converse.shop import Shop
from sidrec.types import Message
from sidrec.vocabulary import REC


@dataclass(frozen=True, slots=True)
class View:
    """What one part (train, valid, test) may use.

    ``items`` int32: items whose *text* may be used. In training and validation these are the warm ones.
    """

    shop: Shop
    items: NDArray[np.int32]
    purchases: Purchases
    window: int
    shown: int


@dataclass(frozen=True, slots=True)
class Example:
    """The inside of a conversation. ``about`` fills the wording; both are trusted only where they are ``SidText``."""

    about: str
    answer: str
    item_index: int
    history: tuple[int, ...] = ()


Rows = Callable[[View], NDArray[np.int32]]
"""All examples of a task as int32 ``(M, columns)``: small enough to hold, so that counts, weights and caps are exact."""

Build = Callable[[Shop, list[int], int], Example]
"""One row and a random integer in [0, 2**62) -> the example. It is total: ``Rows`` only lists what can be built."""


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task kind.

    ``{}`` in a wording is where ``Example.about`` goes. ``held_out`` wordings are never trained on; they use no word that
    no training wording has, so that they test the understanding of a sentence and not of an unseen token.
    ``field`` names the list of ``Shop`` that an evaluated text task is about.
    """

    name: str
    needs: str
    rows: Rows
    build: Build
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]
    asks_for_item: bool = True
    field: str = ""

    def question(self, wording: str, about: str) -> Message:
        """The user turn; ``<|rec|>`` closes it where the answer is an item."""
        before, _, after = wording.partition("{}")
        return Message.of("user", before, about, after, REC if self.asks_for_item else "")

    def messages(self, wording: str, example: Example) -> tuple[Message, Message]:
        """Question and answer."""
        return self.question(wording, example.about), Message.of("assistant", example.answer)
