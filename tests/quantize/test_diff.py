from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from sidrec.quantize import Registry, compare
from sidrec.types import ItemCodes


def registry(rows: dict[str, list[int]], sizes: tuple[int, ...] = (4, 4, 4)) -> Registry:
    codes = ItemCodes(np.array(list(rows.values()), np.int32), sizes)
    return Registry.first(list(rows), codes, ["" for _ in rows], 1.0)


OLD = registry({"a": [0, 0, 0], "b": [0, 1, 0], "c": [2, 2, 0], "d": [3, 3, 0]})


def test_the_same_codes_in_another_order() -> None:
    found = compare(OLD, registry({"d": [3, 3, 0], "c": [2, 2, 0], "b": [0, 1, 0], "a": [0, 0, 0]}))
    assert found.stable and found.same == 4
    assert found.lines() == [
        "4 items have the code they had; 0 moved",
        "a model that learned the old codes can speak the new ones",
    ]


def test_items_that_come_and_go_move_no_code() -> None:
    grown = OLD.with_catalogue(["a", "b", "c", "e"], [""] * 4, [3], np.array([[1, 1, 0]], np.int32)).retire(["a"])
    found = compare(OLD, grown)
    assert found.stable and (found.added, found.retired, found.lost) == (("e",), ("a", "d"), ())
    back = compare(grown, grown.restore(["a"]))
    assert back.stable and back.restored == ("a",)


def test_everything_that_may_go_wrong_between_two_builds() -> None:
    """b moved from level B on, c only in the last, d is gone, and e has the code that b had."""
    found = compare(OLD, registry({"a": [0, 0, 0], "b": [0, 2, 0], "c": [2, 2, 1], "e": [0, 1, 0]}))
    assert not found.stable
    assert [(one.item_id, one.old, one.new) for one in found.moved] == [
        ("b", (0, 1, 0), (0, 2, 0)),
        ("c", (2, 2, 0), (2, 2, 1)),
    ]
    assert found.by_level() == {"A": 0, "B": 1, "C": 1}
    assert (found.lost, found.added, found.reused) == (("d",), ("e",), ("e",))
    said = "\n".join(found.lines())
    for line in ("1 from level B on", "b: 0 1 0 -> 0 2 0", "1 have a code no more: d", "train it on the new ones"):
        assert line in said
    assert json.loads(json.dumps(found.as_json()))["moved_by_level"] == {"A": 0, "B": 1, "C": 1}


def test_other_levels() -> None:
    assert not compare(OLD, replace(OLD, sizes=(4, 4, 8))).stable
    longer = registry({"a": [0, 0, 0, 0], "b": [0, 1, 0, 0], "c": [2, 2, 0, 0], "d": [3, 3, 0, 0]}, (4, 4, 4, 4))
    assert compare(OLD, longer).by_level() == {"A": 0, "B": 0, "C": 0, "D": 4}
