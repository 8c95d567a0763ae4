"""What of a purchase history the model is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sidrec import converse
from sidrec.render import Renderer
from sidrec.types import ItemCodes


@dataclass(frozen=True)
class HistoryPrompts:
    """Histories to token ids: the latest ``most`` purchases, and of these as many as the model's context holds.

    ``context``: tokens that the model reads at most, the answer included.
    """

    renderer: Renderer
    codes: ItemCodes
    most: int
    context: int

    def __call__(self, history: Sequence[int]) -> list[int]:
        """Token ids of a history of item indices, oldest first; none at all is a customer before the first purchase."""
        shown = list(history)[len(history) - self.shown(len(history)) :]
        return self.renderer.prompt(converse.history_prompt(self.codes, shown))

    def shown(self, purchases: int) -> int:
        """How many of the latest purchases the model reads."""
        return min(purchases, self.most, self._held)

    def note(self, purchases: int) -> str:
        """A sentence where the model does not read all of them, else ""."""
        shown = self.shown(purchases)
        if shown == purchases:
            return ""
        why = f"converse.max_history_items = {self.most}" if shown == self.most else f"its context is {self.context} tokens"
        return f"{purchases} purchases: the model reads the latest {shown} ({why})"

    @cached_property
    def _held(self) -> int:
        none = len(self.renderer.prompt(converse.history_prompt(self.codes, [])))
        one = len(self.renderer.prompt(converse.history_prompt(self.codes, [0]))) - none
        return max(0, (self.context - none - 1 - self.codes.levels) // one)
