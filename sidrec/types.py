"""The frozen values that cross a room's door.

Shapes: N items, L levels (the tie level included), D width of a vector, B batch, T tokens.
Row i is item i everywhere, so no id map travels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.errors import DataError

if TYPE_CHECKING:
    import polars as pl  # decoding needs none of it, and the machine it runs on may have none

Role = Literal["system", "user", "assistant"]
Part = Literal["train", "valid", "test"]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A cleaned catalogue and its purchase histories (the artefact ``1-corpus``).

    ``items`` (``ITEM_SCHEMA``, then the shop's own attributes of ``ATTRIBUTE_TYPES``, null where missing), ``histories``
    (``HISTORY_SCHEMA``) and ``dropped`` (``DROPPED_SCHEMA``).
    """

    items: pl.DataFrame
    histories: pl.DataFrame
    dropped: pl.DataFrame

    def __post_init__(self) -> None:
        from sidrec import schemas  # whoever has a table has polars

        schemas.check("items", self.items, schemas.ITEM_SCHEMA, schemas.ATTRIBUTE_TYPES)
        schemas.check("histories", self.histories, schemas.HISTORY_SCHEMA)
        schemas.check("dropped", self.dropped, schemas.DROPPED_SCHEMA)

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
    """Semantic IDs (the artefact ``3-codes``): int32 ``(N, L)``; ``sizes`` are the codes a level has.

    With a ``tie_level`` the last level breaks ties, so rows are unique; without one every level is learned, and several
    items may share a semantic ID.
    """

    codes: NDArray[np.int32]
    sizes: tuple[int, ...]
    tie_level: bool = True

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype != np.int32 or self.codes.shape[1] != len(self.sizes):
            raise DataError(
                f"codes must be int32 N x {len(self.sizes)} for level sizes {self.sizes}, "
                f"found {self.codes.dtype} {self.codes.shape}"
            )
        if self.codes.size and (self.codes.min() < 0 or (self.codes.max(axis=0) >= np.asarray(self.sizes)).any()):
            raise DataError(f"codes lie outside their level sizes {self.sizes}")
        if self.tie_level and len(np.unique(self.codes, axis=0)) != len(self.codes):
            raise DataError("two items share one semantic ID; the tie level must make every row unique")

    @property
    def n_items(self) -> int:
        return len(self.codes)

    @property
    def levels(self) -> int:
        return len(self.sizes)

    @property
    def learned(self) -> NDArray[np.int32]:
        """The learned levels alone: a view."""
        return self.codes[:, :-1] if self.tie_level else self.codes


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


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One request to the decoder: what the model reads, and which items may come out.

    ``prompt`` are token ids up to where the answer starts. ``exclude`` are item indices; ``eligible`` is bool ``(N,)``,
    ``None`` where every item is (requests that hold the same array share its count). ``caps`` maps a depth (1: the first
    code) to the most items that may share one prefix of that length.
    """

    prompt: Sequence[int]
    exclude: Sequence[int] = ()
    eligible: NDArray[np.bool_] | None = None
    caps: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The answer to one request: item indices best first, and their scores (log-probabilities).

    Shorter than asked for only where fewer items were eligible, which ``eligible`` tells. ``levels`` are the scores a level,
    float32 ``(len(items), L)``, which sum to ``scores``. ``exact`` is the certificate: these are provably the best items that
    the model has for the request, not only the best that the beams met. ``beams`` is the width that was searched.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    eligible: int
    levels: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    exact: bool = False
    beams: int = 0


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
    """A frozen codebook: vectors in, learned codes out, and back. One safetensors file."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each learned level."""
        ...

    @property
    def width(self) -> int:
        """``D``, the width of the vectors that it takes."""
        ...

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.int32]:
        """``(N, D)`` -> int32 ``(N, learned levels)``."""
        ...

    def decode(self, codes: NDArray[np.int32]) -> NDArray[np.float32]:
        """Codes, or prefixes of them, to float32 ``(N, D)``."""
        ...

    def distances(self, vectors: NDArray[np.float32], prefix: NDArray[np.int32]) -> NDArray[np.float32]:
        """Squared distance of ``(N, D)`` to each code of the level behind ``prefix`` ``(N, l)``: float32 ``(N, K_l)``.

        In the space that the codes live in, so that the least belongs to the code that ``encode`` would take there.
        """
        ...

    def save(self, path: Path) -> None:
        """One safetensors file; method, version and sizes are in its metadata."""
        ...
