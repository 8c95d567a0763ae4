"""Codes <-> tokens: the only place that spells a semantic ID.

New tokens, in this order: ``<|rec|>``, ``<|sid_start|>``, ``<|sid_end|>``, then level A (``<|A0|>`` ...), B, C, ...
With the reference's four levels of 256 that makes 1,027 tokens; on the Qwen3 tokenizer they are ids 151669..152695.
``<|rec|>`` closes every user turn that asks for an item.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import ArtifactError, ConfigError
from sidrec.types import SidText

REC = SidText("<|rec|>")
SID_START = SidText("<|sid_start|>")
SID_END = SidText("<|sid_end|>")
STRUCTURE = (REC, SID_START, SID_END)


@dataclass(frozen=True)
class SidVocabulary:
    """The tokens of a codebook with ``sizes`` codes a level; ``first_id`` is the id of ``<|rec|>``.

    >>> v = SidVocabulary((256, 256, 256, 256), first_id=151669)
    >>> len(v.tokens), v.token_id(SidText("<|A0|>")), v.last_id
    (1027, 151672, 152695)
    >>> v.spell((12, 200, 3, 0))
    '<|sid_start|><|A12|><|B200|><|C3|><|D0|><|sid_end|>'
    """

    sizes: tuple[int, ...]
    first_id: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.sizes) <= len(ascii_uppercase):
            raise ConfigError(f"a semantic ID has 1 to {len(ascii_uppercase)} levels, found {len(self.sizes)}")

    @cached_property
    def tokens(self) -> tuple[SidText, ...]:
        """Every new token, in id order."""
        codes = (
            SidText(f"<|{ascii_uppercase[level]}{code}|>") for level, size in enumerate(self.sizes) for code in range(size)
        )
        return (*STRUCTURE, *codes)

    @property
    def levels(self) -> int:
        return len(self.sizes)

    @property
    def rec_id(self) -> int:
        return self.first_id

    @property
    def start_id(self) -> int:
        return self.first_id + 1

    @property
    def end_id(self) -> int:
        return self.first_id + 2

    @property
    def last_id(self) -> int:
        return self.first_id + len(STRUCTURE) + sum(self.sizes) - 1

    @cached_property
    def level_offsets(self) -> NDArray[np.int64]:
        """int64 ``(L,)``: the id of code 0 of each level."""
        before = np.concatenate(([0], np.cumsum(self.sizes)[:-1]))
        return before.astype(np.int64) + self.first_id + len(STRUCTURE)

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {str(token): self.first_id + i for i, token in enumerate(self.tokens)}

    def token_id(self, token: str) -> int:
        """The id of one token.

        Raises:
            ArtifactError: the token is not of this codebook.
        """
        try:
            return self._id_of[token]
        except KeyError:
            raise ArtifactError(
                f"{token!r} is not a token of this codebook (level sizes {self.sizes}): "
                "the conversations and the codes are of different runs; run `sidrec converse` again"
            ) from None

    def spell(self, codes: Sequence[int] | NDArray[np.int32]) -> SidText:
        """A whole semantic ID (``L`` codes) as text."""
        return SidText(f"{SID_START}{self.spell_prefix(codes)}{SID_END}")

    def spell_prefix(self, codes: Sequence[int] | NDArray[np.int32]) -> SidText:
        """The code tokens alone, of the first ``len(codes)`` levels."""
        return SidText("".join(f"<|{ascii_uppercase[level]}{int(code)}|>" for level, code in enumerate(codes)))

    def ids(self, codes_NL: NDArray[np.int32]) -> NDArray[np.int64]:
        """int32 ``(N, L)`` -> token ids int64 ``(N, L + 2)``: start, the codes, end."""
        n = len(codes_NL)
        start, end = np.full((n, 1), self.start_id), np.full((n, 1), self.end_id)
        return np.concatenate((start, codes_NL.astype(np.int64) + self.level_offsets, end), axis=1)

    def ids_of_text(self, text: str) -> list[int]:
        """Token ids of a span of SID tokens."""
        return [self.token_id(f"<|{piece}") for piece in text.split("<|")[1:]] if text else []

    def codes_of_ids(self, ids: Sequence[int]) -> tuple[int, ...] | None:
        """The codes of the first well-formed semantic ID in ``ids``; ``None`` if there is none.

        >>> SidVocabulary((4, 4), first_id=10).codes_of_ids([99, 11, 14, 19, 12, 7])
        (1, 2)
        """
        offsets = self.level_offsets
        for at, token in enumerate(ids):
            if token != self.start_id:
                continue
            body = ids[at + 1 : at + 2 + self.levels]
            if len(body) != self.levels + 1 or body[-1] != self.end_id:
                return None
            codes = tuple(int(t - offsets[level]) for level, t in enumerate(body[:-1]))
            inside = all(0 <= code < size for code, size in zip(codes, self.sizes, strict=True))
            return codes if inside else None
        return None

    def concat(self, parts: Iterable[SidText]) -> SidText:
        """Several spans behind each other, still trusted."""
        return SidText("".join(parts))
