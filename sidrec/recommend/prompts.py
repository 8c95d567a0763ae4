"""Token ids on their way into a model: padding, batches of similar length, and the checks at the door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sidrec.errors import DataError


def padded(prompts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids int64 ``(B, P)``, padded behind with 0, and lengths ``(B,)``.

    >>> padded([[5, 6, 7], [8]])[0].tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    lengths = np.fromiter(map(len, prompts), dtype=np.int64, count=len(prompts))
    ids = np.zeros((len(prompts), int(lengths.max())), dtype=np.int64)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt)] = prompt
    return ids, lengths


def batches(prompts: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of prompts of similar length together: little padding.

    >>> list(batches([[1, 2, 3], [1], [1, 2]], 2))
    [[1, 2], [0]]
    """
    order = np.argsort(np.asarray([len(prompt) for prompt in prompts], dtype=np.int64), kind="stable").tolist()
    yield from (order[start : start + size] for start in range(0, len(order), size))


def input_rows(model: PreTrainedModel) -> int:
    """How many token ids the model can read."""
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[0])


def check_prompts(model: PreTrainedModel, prompts: Sequence[Sequence[int]], behind: int) -> None:
    """Refuse what the model cannot read, with ``behind`` more tokens after it.

    Raises:
        DataError: a prompt is too long, or holds an id that is no row of the embedding.
    """
    limit = int(model.config.max_position_embeddings) - behind
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
