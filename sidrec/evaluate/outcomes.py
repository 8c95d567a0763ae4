"""What the corridor hands to this room: the answers of the model, as plain arrays. No model is ever seen here.

Shapes: B samples, K ranked items, L levels, N items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sidrec.errors import DataError

MODEL = "model"
"""The name of the model among the systems that are compared."""


def _check_rows(what: str, expected: int, found: Mapping[str, int]) -> None:
    for name, rows in found.items():
        if rows != expected:
            raise DataError(f"{what}: {expected} truths, but {rows} rows of {name}")


@dataclass(frozen=True, slots=True)
class NextItemOutcome:
    """The next purchase over the whole catalogue: the same users for every system.

    ``users`` B ids; ``histories`` B sequences of item indices, oldest first; ``truth`` int32 ``(B,)``; ``cold`` bool
    ``(B,)``: the true item is a held-out one; ``ranked``: system -> int32 ``(B, K)``, best first, -1 for none (``MODEL``
    among them); ``exclude_seen``: whether items of the history were left out, for all systems alike.

    Raises:
        DataError: the rows differ in number, or the systems' lists in length.
    """

    users: Sequence[str]
    histories: Sequence[Sequence[int]]
    truth: NDArray[np.int32]
    cold: NDArray[np.bool_]
    ranked: Mapping[str, NDArray[np.int32]]
    exclude_seen: bool

    def __post_init__(self) -> None:
        found = {"users": len(self.users), "histories": len(self.histories), "cold": len(self.cold)}
        _check_rows("next item", len(self.truth), found | {name: len(rows) for name, rows in self.ranked.items()})
        widths = {rows.shape[1] for rows in self.ranked.values()}
        if len(widths) > 1:
            raise DataError(
                f"next item: systems ranked lists of different lengths {sorted(widths)}; a longer list is an advantage"
            )

    @property
    def k(self) -> int:
        """Length of the ranked lists."""
        return next((rows.shape[1] for rows in self.ranked.values()), 0)


@dataclass(frozen=True, slots=True)
class SidOutcome:
    """A task that asks for an item.

    ``truth`` int32 ``(B,)``; ``cold`` bool ``(B,)``; ``greedy_codes`` int32 ``(B, L)``: the codes read from *unconstrained*
    greedy decoding, rows of -1 where no semantic ID could be read; ``valid`` bool ``(B,)``: that output is an existing
    item; ``ranked`` int32 ``(B, K)``: the items of the constrained beams, best first, -1 for none; ``baselines``: system ->
    int32 ``(B, k)`` for the same samples (see ``Baselines.sid_task``).

    Raises:
        DataError: the rows differ in number.
    """

    task: str
    truth: NDArray[np.int32]
    cold: NDArray[np.bool_]
    greedy_codes: NDArray[np.int32]
    valid: NDArray[np.bool_]
    ranked: NDArray[np.int32]
    baselines: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = {"cold": self.cold, "greedy_codes": self.greedy_codes, "valid": self.valid, "ranked": self.ranked}
        _check_rows(self.task, len(self.truth), {name: len(rows) for name, rows in {**found, **self.baselines}.items()})


@dataclass(frozen=True, slots=True)
class TextOutcome:
    """A task that asks for text.

    ``truth`` int32 ``(B,)``: the item asked about; ``cold`` bool ``(B,)``; ``generated`` and ``references`` B texts;
    ``item_texts`` N texts of the same kind as the references ("" where an item has none), for the baseline.

    Raises:
        DataError: the rows differ in number.
    """

    task: str
    truth: NDArray[np.int32]
    cold: NDArray[np.bool_]
    generated: Sequence[str]
    references: Sequence[str]
    item_texts: Sequence[str]

    def __post_init__(self) -> None:
        found = {"cold": len(self.cold), "generated": len(self.generated), "references": len(self.references)}
        _check_rows(self.task, len(self.truth), found)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What was measured and under which protocol: the head of ``metrics.json`` and of the page.

    ``customers`` and ``purchases`` count the whole corpus; ``split`` is ``ingest.split``; ``beams`` is ``evaluate.beams``.
    """

    run: str
    seed: int
    items: int
    cold_items: int
    customers: int
    purchases: int
    split: str
    exclude_seen: bool
    beams: int
