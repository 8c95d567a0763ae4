"""What callers ask of items, in ids and filters, against one version of the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec.ask.options import Options
from sidrec.config import UnknownItems
from sidrec.errors import DataError
from sidrec.recommend.eligibility import Eligibility
from sidrec.recommend.expressions import FilterColumns

_COMPOSED = 32  # compositions that are kept; each takes a byte an item
_NAMED = 5  # unknown ids that a message names


@dataclass(frozen=True)
class Conditions:
    """``columns`` are those of the catalogue; ``offered``, bool ``(N,)``, says what is not retired, ``None``: all."""

    columns: FilterColumns
    offered: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, items: pl.DataFrame, purchases: NDArray[np.int64], offered: NDArray[np.bool_] | None = None) -> Conditions:
        """``items`` are the catalogue of this version; ``purchases``: see ``storage.count_training_purchases``."""
        return cls(FilterColumns.of(items, purchases), None if offered is None or offered.all() else offered)

    def eligibility(self, options: Options) -> tuple[Eligibility, list[str]]:
        """All conditions but what a customer has bought, composed; the same options give the same arrays. And notes.

        Raises:
            ConfigError: a filter is none, or does not fit the catalogue's columns.
            DataError: a listed id is not in the catalogue, and ``options`` do not drop it.
        """
        allow: tuple[int, ...] | None = None
        notes: list[str] = []
        if options.allow is not None:
            rows, notes = self.rows(options.allow, "the allow-list", options.unknown_items)
            allow = tuple(rows)
        deny, more = self.rows(options.deny, "the deny-list", options.unknown_items)
        return self._compose(options.filters, allow, tuple(deny), options.min_novelty), [*notes, *more]

    def rows(
        self, item_ids: Sequence[str], where: str, unknown_items: UnknownItems | None = "refuse"
    ) -> tuple[list[int], list[str]]:
        """Rows of item ids, and a note on those that are dropped; ``where`` says in what they stand.

        ``unknown_items``: ``None`` refuses too, where nothing would be left to ask.

        Raises:
            DataError: unknown ids are refused.
        """
        rows = [self.row_of.get(item_id, -1) for item_id in item_ids]
        unknown = [item_id for item_id, row in zip(item_ids, rows, strict=True) if row < 0]
        if not unknown:
            return rows, []
        named = ", ".join(map(repr, unknown[:_NAMED])) + (f" and {len(unknown) - _NAMED:,} more" * (len(unknown) > _NAMED))
        if unknown_items == "drop":
            return [row for row in rows if row >= 0], [f"left out of {where}, for the catalogue lacks them: {named}"]
        items, example = "items" if len(unknown) > 1 else "item", next(iter(self.row_of), "")
        raise DataError(
            f"no {items} {named} in the catalogue, but in {where}; item ids look like {example!r}"
            + " (--unknown-items drop leaves unknown ones out)" * (unknown_items is not None)
        )

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Item id to row."""
        return {item_id: row for row, item_id in enumerate(self.columns.frame[c.ITEM_ID].to_list())}

    @cached_property
    def _compose(self) -> Callable[..., Eligibility]:
        @lru_cache(maxsize=_COMPOSED)
        def compose(
            filters: tuple[str, ...], allow: tuple[int, ...] | None, deny: tuple[int, ...], min_novelty: float | None
        ) -> Eligibility:
            return Eligibility.of(self.columns, filters, allow=allow, deny=deny, min_novelty=min_novelty, offered=self.offered)

        return compose
