"""Conversations as one flat array of tokens, and packed micro-batches as a pure function of the step.

A step is a budget of tokens, not a number of rows: once conversations are packed, "batch 64" says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import ConfigError, DataError
from sidrec.log import progress, say
from sidrec.render import Renderer
from sidrec.types import Conversation

_CHUNK = 10_000  # conversations joined at a time: millions of small arrays would cost more than their tokens


@dataclass(frozen=True, slots=True)
class TokenizedConversations:
    """All conversations behind each other.

    ``tokens`` int32 ``(T,)``; ``mask`` bool ``(T,)``, the tokens that the loss counts; ``offsets`` int64 ``(n + 1,)``:
    conversation i is ``tokens[offsets[i]:offsets[i + 1]]``; ``left_out`` counts those that were too long.
    """

    tokens: NDArray[np.int32]
    mask: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    left_out: int = 0

    def __post_init__(self) -> None:
        whole = len(self.tokens) == len(self.mask) == int(self.offsets[-1]) and int(self.offsets[0]) == 0
        if not whole or (np.diff(self.offsets) <= 0).any():
            raise DataError("tokenised conversations are damaged: tokens, mask and offsets do not fit together")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 ``(n,)``: tokens of each conversation."""
        return np.diff(self.offsets)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One row of packed documents, longest first.

    ``ids`` and ``positions`` int64 ``(T,)``; ``lengths`` int64 ``(n,)`` of the documents; ``keep`` int64 ``(A,)``: the
    positions whose next token is counted by the loss, and ``labels`` int64 ``(A,)`` those next tokens.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    keep: NDArray[np.int64]
    labels: NDArray[np.int64]


def tokenize(conversations: Iterable[Conversation], renderer: Renderer, max_tokens: int) -> TokenizedConversations:
    """Render every conversation; one of more than ``max_tokens`` tokens is left out and counted."""
    tokens: list[NDArray[np.int32]] = []
    masks: list[NDArray[np.bool_]] = []
    joined: list[tuple[NDArray[np.int32], NDArray[np.bool_]]] = []
    lengths: list[int] = []
    left_out = 0
    with progress("tokenize") as bar:
        for conversation in conversations:
            rendered = renderer.conversation(conversation)
            bar.advance()
            if len(rendered.ids) > max_tokens:
                left_out += 1
                continue
            tokens.append(rendered.ids)
            masks.append(rendered.mask)
            lengths.append(len(rendered.ids))
            if len(tokens) == _CHUNK:
                joined.append((np.concatenate(tokens), np.concatenate(masks)))
                tokens, masks = [], []
    if tokens:
        joined.append((np.concatenate(tokens), np.concatenate(masks)))
    if left_out:
        say(f"  {left_out:,} of {left_out + len(lengths):,} conversations are longer than {max_tokens} tokens and left out")
    return TokenizedConversations(
        tokens=np.concatenate([part for part, _ in joined] or [np.empty(0, np.int32)]),
        mask=np.concatenate([part for _, part in joined] or [np.empty(0, np.bool_)]),
        offsets=np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))).astype(np.int64),
        left_out=left_out,
    )


def plan_epoch(lengths: NDArray[np.int64], tokens_per_batch: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Which conversations share a micro-batch: next-fit in an order shuffled by (seed, epoch).

    Every conversation is in exactly one array, and no array of two or more holds over ``tokens_per_batch`` tokens.
    Next-fit fills 99.3 % of rows of 8 k tokens and keeps the order random; best-fit fills 99.95 % and sorts by length.

    >>> [part.tolist() for part in plan_epoch(np.array([5, 5, 5, 5]), 10, seed=0, epoch=0)]
    [[3, 0], [2, 1]]
    """
    order = np.random.default_rng([seed, crc32(b"order"), epoch]).permutation(len(lengths))
    ends = np.cumsum(lengths[order])
    cuts: list[int] = []
    start = 0
    while start < len(order):
        before = int(ends[start - 1]) if start else 0
        start = max(start + 1, int(np.searchsorted(ends, before + tokens_per_batch, side="right")))
        cuts.append(start)
    return np.split(order, cuts[:-1])


class Steps:
    """The micro-batches of every optimiser step: ``batch(i)`` depends on nothing but (data, budget, seed, i).

    A step never straddles two epochs, so an epoch sees each conversation exactly once; its last step may be smaller.
    Conversations without an answer are passed over.

    Raises:
        ConfigError: a conversation does not fit into one micro-batch.
        DataError: there is nothing to learn from.
    """

    def __init__(self, data: TokenizedConversations, tokens_per_step: int, tokens_per_batch: int, seed: int) -> None:
        counted = data.mask.copy()
        counted[data.offsets[:-1]] = False  # nothing stands before a first token, so nothing predicts it
        if not counted.any():
            raise DataError("no conversation has an answer to learn from: look at the samples that `sidrec converse` wrote")
        self._usable = np.flatnonzero(np.logical_or.reduceat(counted, data.offsets[:-1]))
        self.micro_batches = -(-tokens_per_step // tokens_per_batch)
        self.tokens_per_batch = tokens_per_step // self.micro_batches
        longest = int(data.lengths.max())
        if longest > self.tokens_per_batch:
            raise ConfigError(
                f"a conversation has {longest} tokens and a micro-batch {self.tokens_per_batch}: "
                "raise tokens_per_batch and tokens_per_step, or lower train.max_tokens"
            )
        self.data, self.seed = data, seed
        self._starts: list[int] = [0]  # first step of each epoch known so far
        self._planned: tuple[int, list[NDArray[np.int64]]] = (-1, [])

    def total(self, steps: int, epochs: float) -> int:
        """How many steps a stage takes: ``steps``, or where that is 0 as many as ``epochs`` make (at least 1)."""
        if steps:
            return steps
        whole, part = int(epochs), epochs - int(epochs)
        first = self._first_step(whole)
        return max(1, first + round(part * (self._first_step(whole + 1) - first)) if part else first)

    def batch(self, step: int) -> list[PackedBatch]:
        """The micro-batches of step ``step`` (from 0)."""
        epoch = 0
        while self._first_step(epoch + 1) <= step:
            epoch += 1
        at = (step - self._first_step(epoch)) * self.micro_batches
        return [pack(self.data, documents) for documents in self._plan(epoch)[at : at + self.micro_batches]]

    def in_epoch(self, epoch: int) -> int:
        """Steps of an epoch; a few more or less than in another, as its rows are filled in another order."""
        return self._first_step(epoch + 1) - self._first_step(epoch)

    def _first_step(self, epoch: int) -> int:
        while len(self._starts) <= epoch:
            rows = len(self._plan(len(self._starts) - 1))
            self._starts.append(self._starts[-1] + -(-rows // self.micro_batches))
        return self._starts[epoch]

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        if self._planned[0] != epoch:
            plan = plan_epoch(self.data.lengths[self._usable], self.tokens_per_batch, self.seed, epoch)
            self._planned = (epoch, [self._usable[documents] for documents in plan])
        return self._planned[1]


def pack(data: TokenizedConversations, documents: NDArray[np.int64]) -> PackedBatch:
    """The given conversations as one row, longest first (documents of one length then lie together in memory).

    The label of a position is the next token of its own document; the first token of a document is nobody's label.
    """
    documents = documents[np.argsort(-data.lengths[documents], kind="stable")]
    lengths = data.lengths[documents]
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(starts, lengths)
    source = positions + np.repeat(data.offsets[documents], lengths)
    ids = data.tokens[source].astype(np.int64)
    answers = np.flatnonzero(data.mask[source] & (positions > 0))
    return PackedBatch(ids, positions, lengths, keep=answers - 1, labels=ids[answers])
