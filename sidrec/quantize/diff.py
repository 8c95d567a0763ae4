"""What happened to the codes between two builds, or two versions of a catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import numpy as np

from sidrec.quantize.registry import Registry

_EXAMPLES = 10
_WORDS = {
    "added": "got a code",
    "lost": "have a code no more",
    "retired": "were retired",
    "restored": "are on offer again",
    "reused": "have a code that was another item's",
}
_STABLE = "a model that learned the old codes can speak the new ones"
_UNSTABLE = "a model that learned the old codes means other items by them now: train it on the new ones"


@dataclass(frozen=True, slots=True)
class Moved:
    """An item with another code: the codes, and the first level at which they differ."""

    item_id: str
    old: tuple[int, ...]
    new: tuple[int, ...]
    level: int


@dataclass(frozen=True, slots=True)
class Difference:
    """From an old registry to a new one. ``lost`` items had a code and have none; ``reused`` codes changed hands.

    A model that learned the old codes speaks of other items than the new ones mean where anything was moved, lost or reused.
    """

    old_sizes: tuple[int, ...]
    new_sizes: tuple[int, ...]
    same: int
    moved: tuple[Moved, ...]
    added: tuple[str, ...]
    lost: tuple[str, ...]
    retired: tuple[str, ...]
    restored: tuple[str, ...]
    reused: tuple[str, ...]

    @property
    def stable(self) -> bool:
        """Every item that had a code has it still, and nobody else does."""
        return not (self.moved or self.lost or self.reused) and self.old_sizes == self.new_sizes

    def by_level(self) -> dict[str, int]:
        """Moved items by the first level that differs."""
        names = ascii_uppercase[: max(len(self.old_sizes), len(self.new_sizes))]
        return {name: sum(one.level == level for one in self.moved) for level, name in enumerate(names)}

    def lines(self) -> list[str]:
        """For a person."""
        said = [f"{self.same:,} items have the code they had; {len(self.moved):,} moved"]
        if self.old_sizes != self.new_sizes:
            said.append(f"the levels have other sizes: {self.old_sizes} before, {self.new_sizes} now")
        said += [f"  {count:,} from level {level} on" for level, count in self.by_level().items() if count]
        for one in self.moved[:_EXAMPLES]:
            said.append(f"  {one.item_id}: {' '.join(map(str, one.old))} -> {' '.join(map(str, one.new))}")
        for name, what in _WORDS.items():
            items = getattr(self, name)
            if items:
                more = ", ..." if len(items) > _EXAMPLES else ""
                said.append(f"{len(items):,} {what}: {', '.join(items[:_EXAMPLES])}{more}")
        return [*said, _STABLE if self.stable else _UNSTABLE]

    def as_json(self) -> dict[str, Any]:
        """All counts, and all items by name."""
        return {
            "stable": self.stable,
            "old_sizes": list(self.old_sizes),
            "new_sizes": list(self.new_sizes),
            "same": self.same,
            "moved_by_level": self.by_level(),
            "moved": [{"item_id": one.item_id, "old": list(one.old), "new": list(one.new)} for one in self.moved],
            **{name: list(getattr(self, name)) for name in ("added", "lost", "retired", "restored", "reused")},
        }


def compare(old: Registry, new: Registry) -> Difference:
    """Everything by item id; the order of rows says nothing."""
    before, after = old.places(), new.places()
    old_codes, new_codes = ([tuple(code) for code in registry.codes.tolist()] for registry in (old, new))
    both = [item for item in old.item_ids if item in after]
    moved = tuple(
        Moved(item, a, b, _first_difference(a, b))
        for item in both
        if (a := old_codes[before[item]]) != (b := new_codes[after[item]])
    )
    owner = dict(zip(old_codes, old.item_ids, strict=True)) if old.tie_level and new.tie_level else {}
    offered_old, offered_new = (set(np.asarray(r.item_ids)[r.retired == 0].tolist()) for r in (old, new))
    return Difference(
        old.sizes,
        new.sizes,
        len(both) - len(moved),
        moved,
        tuple(item for item in new.item_ids if item not in before),
        tuple(item for item in old.item_ids if item not in after),
        tuple(item for item in both if item in offered_old and item not in offered_new),
        tuple(item for item in both if item not in offered_old and item in offered_new),
        tuple(item for item, code in zip(new.item_ids, new_codes, strict=True) if owner.get(code, item) != item),
    )


def _first_difference(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return next((level for level, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
