"""What a request may set, in the caller's words: conditions, lists of ids, caps, and how wide to search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

from sidrec.config import QuantizeConfig, UnknownItems
from sidrec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Options:
    """Of one request or of many; what is ``None`` is the run's own config.

    ``filters`` are texts of the filter language (``sidrec.recommend.expressions.parser``) that must all hold. ``allow`` and
    ``deny`` are item ids. ``min_novelty`` is in bits. ``caps``: the length of a prefix of the semantic ID to the most items
    that may share one. ``unknown_items``: what becomes of an item id that the catalogue does not have. ``exact``: widen the
    search until the answer is provably the model's best.
    """

    filters: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    min_novelty: float | None = None
    caps: Mapping[int, int] = field(default_factory=dict)
    exclude_seen: bool | None = None
    unknown_items: UnknownItems = "refuse"
    beams: int | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if self.unknown_items not in ("refuse", "drop"):
            raise ConfigError(f"unknown items are refused or dropped ('refuse', 'drop'), not {self.unknown_items!r}")

    def changed(self) -> dict[str, Any]:
        """What is not the default, as plain JSON values: what a stage that is asked this depends on.

        >>> Options(filters=("in_stock",), caps={1: 2}).changed()
        {'filters': ['in_stock'], 'caps': {'1': 2}}
        """
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        changed = {name: value for name, value in values.items() if value != getattr(DEFAULTS, name)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}
        return plain | ({"caps": {str(depth): most for depth, most in self.caps.items()}} if self.caps else {})


DEFAULTS: Final = Options()


def split_ids(text: str) -> tuple[str, ...]:
    """Ids with commas between.

    >>> split_ids("P1, P2,")
    ('P1', 'P2')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def id_list(text: str, option: str) -> tuple[str, ...]:
    """``ID,ID,...``, or the lines of a file of that name.

    Raises:
        ConfigError: the file cannot be read, or there is no id.
    """
    try:
        lines = Path(text).read_text("utf-8-sig").splitlines() if text and Path(text).is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{option}: the file {text} cannot be read as UTF-8 text, an item id a line ({error})") from None
    found = split_ids(text) if lines is None else tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise ConfigError(f"{option} {text!r} names no item: give ID,ID,... or a file with an item id a line")
    return found


def parse_caps(text: str, quantize: QuantizeConfig) -> dict[int, int]:
    """``A=2,AB=1``: at most two items of one first code, one of the first two.

    Raises:
        ConfigError: a prefix of no level, one named twice, or no number.

    >>> parse_caps("A=2, AB=1", QuantizeConfig())
    {1: 2, 2: 1}
    """
    levels = len(quantize.levels) + (quantize.tie_codes > 0)
    known = [ascii_uppercase[:depth] for depth in range(1, levels + 1)]
    found: dict[int, int] = {}
    for part in split_ids(text):
        prefix, _, most = (piece.strip() for piece in part.partition("="))
        if prefix.upper() not in known or not re.fullmatch("[1-9][0-9]{0,8}", most):
            raise ConfigError(
                f"--max-per-prefix {part!r}: a prefix of the semantic ID and the most items that may share one, "
                f"e.g. A=2 or AB=1; prefixes: {', '.join(known)}"
            )
        if len(prefix) in found:
            raise ConfigError(f"--max-per-prefix {text!r} has two numbers for {prefix.upper()}: which of them is meant?")
        found[len(prefix)] = int(most)
    return found
