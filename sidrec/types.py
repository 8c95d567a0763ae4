"""The frozen values that cross a room's door.

Shapes: N items, L levels (the tie level included), D width of a vector, B batch, T tokens.
Row i is item i everywhere, so no id map travels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.errors import DataError

Role = Literal["system", "user", "assistant"]
Part = Literal["train", "valid", "test"]

ITEM_SCHEMA: dict[str, pl.DataType] = {
    c.ITEM_ID: pl.String(),
    c.TITLE: pl.String(),
    c.DESCRIPTION: pl.String(),
    c.FEATURES: pl.List(pl.String()),
    c.BRAND: pl.String(),
    c.CATEGORY: pl.List(pl.String()),
    c.PRICE: pl.Float64(),
    c.COLD: pl.Boolean(),
}
HISTORY_SCHEMA: dict[str, pl.DataType] = {
    c.USER_ID: pl.String(),
    c.ITEMS: pl.List(pl.Int32()),
    c.TIMES: pl.List(pl.Int64()),
    c.TRAIN_END: pl.Int32(),
    c.VALID_END: pl.Int32(),
}
DROPPED_SCHEMA: dict[str, pl.DataType] = {
    c.KIND: pl.String(),
    c.REASON: pl.String(),
    c.SOURCE: pl.String(),
    c.LINE: pl.Int64(),
    c.KEY: pl.String(),
    c.DETAIL: pl.String(),
}


def _check_schema(name: str, frame: pl.DataFrame, schema: dict[str, pl.DataType]) -> None:
    found = dict(frame.schema)
    if found != schema:
        wrong = [f"{k}: {found.get(k, 'missing')} instead of {v}" for k, v in schema.items() if found.get(k) != v]
        wrong += [f"{k}: not expected" for k in found if k not in schema]
        raise DataError(f"the table {name!r} of a corpus has the wrong columns ({'; '.join(wrong)})")


@dataclass(frozen=True, slots=True)
class Corpus:
    """A cleaned catalogue and its purchase histories (the artefact ``1-corpus``).

    ``items`` (``ITEM_SCHEMA``), ``histories`` (``HISTORY_SCHEMA``) and ``dropped`` (``DROPPED_SCHEMA``).
    """

    items: pl.DataFrame
    histories: pl.DataFrame
    dropped: pl.DataFrame

    def __post_init__(self) -> None:
        _check_schema("items", self.items, ITEM_SCHEMA)
        _check_schema("histories", self.histories, HISTORY_SCHEMA)
        _check_schema("dropped", self.dropped, DROPPED_SCHEMA)

    @property
    def n_items(self) -> int:
        return self.items.height

    @property
    def cold(self) -> NDArray[np.bool_]:
        """bool ``(N,)``: items whose text no stage may learn from."""
        return self.items[c.COLD].to_numpy().astype(np.bool_)

    def histories_until(self, part: Part) -> list[NDArray[np.int32]]:
        """For each user the item indices up to the end of ``part`` (``train``: all that may be learned from)."""
        items = self.histories[c.ITEMS].to_list()
        if part == "test":
            ends = [len(row) for row in items]
        else:
            ends = self.histories[c.TRAIN_END if part == "train" else c.VALID_END].to_list()
        return [np.asarray(row[:end], dtype=np.int32) for row, end in zip(items, ends, strict=True)]

    def next_item_cases(self, part: Literal["valid", "test"]) -> list[NextItemCase]:
        """One case for each user with a purchase in ``part`` and one before it: the first purchase of the part."""
        cases: list[NextItemCase] = []
        rows = self.histories.select(c.USER_ID, c.ITEMS, c.TRAIN_END, c.VALID_END).iter_rows()
        for user, items, train_end, valid_end in rows:
            start, stop = (train_end, valid_end) if part == "valid" else (valid_end, len(items))
            if 0 < start < stop:
                cases.append(NextItemCase(user, tuple(items[:start]), items[start]))
        return cases


@dataclass(frozen=True, slots=True)
class NextItemCase:
    """A user's history (item indices, oldest first) and the item bought next."""

    user: str
    history: tuple[int, ...]
    target: int


@dataclass(frozen=True, slots=True)
class ItemVectors:
    """Unit vectors of the items' text (the artefact ``2-vectors``): float32 ``(N, D)``."""

    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise DataError(f"item vectors must be float32 N x D, found {self.vectors.dtype} {self.vectors.shape}")


@dataclass(frozen=True, slots=True)
class ItemCodes:
    """Semantic IDs (the artefact ``3-codes``): int32 ``(N, L)``, unique rows; ``sizes`` are the codes a level has.

    The last level breaks ties; the levels before it are learned.
    """

    codes: NDArray[np.int32]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype != np.int32 or self.codes.shape[1] != len(self.sizes):
            raise DataError(
                f"codes must be int32 N x {len(self.sizes)} for level sizes {self.sizes}, "
                f"found {self.codes.dtype} {self.codes.shape}"
            )
        if self.codes.size and (self.codes.min() < 0 or (self.codes.max(axis=0) >= np.asarray(self.sizes)).any()):
            raise DataError(f"codes lie outside their level sizes {self.sizes}")
        if len(np.unique(self.codes, axis=0)) != len(self.codes):
            raise DataError("two items share one semantic ID; the tie level must make every row unique")

    @property
    def n_items(self) -> int:
        return len(self.codes)

    @property
    def levels(self) -> int:
        return len(self.sizes)


class SidText(str):
    """Text made of SID tokens by ``SidVocabulary``, the only text that may become control tokens."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``spans`` are the character ranges of ``content`` that are SID tokens; all else is untrusted text."""

    role: Role
    content: str
    spans: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, role: Role, *parts: str) -> Message:
        """Join parts; a ``SidText`` becomes a span, a plain ``str`` never does, whatever it contains.

        >>> Message.of("user", "Similar to ", SidText("<|A1|>"), "?").spans
        ((11, 17),)
        """
        spans: list[tuple[int, int]] = []
        at = 0
        for part in parts:
            if isinstance(part, SidText) and part:
                if spans and spans[-1][1] == at:
                    spans[-1] = (spans[-1][0], at + len(part))
                else:
                    spans.append((at, at + len(part)))
            at += len(part)
        return cls(role, "".join(parts), tuple(spans))


@dataclass(frozen=True, slots=True)
class Conversation:
    """One example of a task. ``item_index`` is the item asked for or about (-1 where there is none)."""

    task: str
    messages: tuple[Message, ...]
    item_index: int = -1


@dataclass(frozen=True, slots=True)
class TaskSample:
    """One evaluation sample: a prompt (no answer yet) and what a right answer is.

    For tasks that ask for an item ``item_index`` is the truth; for text tasks ``reference`` is.
    ``history`` holds the item indices shown in the prompt.
    """

    task: str
    messages: tuple[Message, ...]
    item_index: int
    reference: str = ""
    history: tuple[int, ...] = ()
    cold: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """The answer to one request: item indices best first, and their scores (log-probabilities).

    Shorter than asked for only where fewer items were eligible, which ``eligible`` tells.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    eligible: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured figure, as it stands in ``metrics.json``; ``value`` is NaN where ``n``, the samples, is 0.

    ``segment`` says which samples: ``all``, ``warm``, ``cold``...
    """

    system: str
    task: str
    metric: str
    value: float
    n: int
    extra: dict[str, float] = field(default_factory=dict)
    segment: str = "all"


class TextEncoder(Protocol):
    """Whatever turns texts into vectors."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 ``(len(texts), D)``, unit rows."""
        ...


class Quantizer(Protocol):
    """A frozen codebook: vectors in, learned codes out."""

    @property
    def sizes(self) -> tuple[int, ...]: ...

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.int32]:
        """``(N, D)`` -> int32 ``(N, learned levels)``."""
        ...
