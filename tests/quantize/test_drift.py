"""The rule for fitting again: silent on more of the same, loud on another department."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sidrec.quantize import ResidualKMeans, Sample, crowded_share, drift

KINDS, WIDTH = 40, 24


def department(seed: int) -> np.ndarray:
    """The middles of the kinds of items that a department sells, unit rows."""
    centres = np.random.default_rng(seed).standard_normal((KINDS, WIDTH))
    return centres / np.linalg.norm(centres, axis=1, keepdims=True)


def items(centres: np.ndarray, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 7])
    rows = centres[rng.integers(len(centres), size=n)] + 0.15 * rng.standard_normal((n, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


OWN, OTHER = department(1), department(2)
LEARNED = items(OWN, 600, 0)
QUANTIZER = ResidualKMeans.fit(LEARNED, (16, 16, 8), 0, 50, 1e-4)
COUNTS = [np.bincount(QUANTIZER.encode(LEARNED)[:, level], minlength=size) for level, size in enumerate((16, 16, 8))]


def sample(rows: np.ndarray, learned: bool = False) -> Sample:
    return Sample(rows, [f"P{i}" for i in range(len(rows))], learned, COUNTS if learned else ())


@pytest.mark.parametrize("learned", [False, True])
def test_no_alarm_on_more_of_the_same(learned: bool) -> None:
    """Deliveries of 20 to 200 items from the same shop: 300 here, 1,000 when the rule was set."""
    old = sample(LEARNED if learned else items(OWN, 60, 999), learned)
    rng = np.random.default_rng(0)
    found = [drift(QUANTIZER, old, sample(items(OWN, int(rng.integers(20, 200)), seed)), 0.0, 0.25, 0) for seed in range(300)]
    assert not any(one.refit for one in found)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("size", [20, 100])
def test_alarm_on_another_department(learned: bool, size: int) -> None:
    old = sample(LEARNED if learned else items(OWN, 60, 999), learned)
    for seed in range(30):
        found = drift(QUANTIZER, old, sample(items(OTHER, size, seed)), 0.0, 0.25, 0)
        assert found.refit and "times as far from their codes" in found.reasons[0]


def test_learned_items_are_not_taken_at_their_word() -> None:
    """Their own errors are too low; corrected they are near those of items that were not learned."""
    fresh = items(OWN, 2000, 5)

    def error(rows: np.ndarray, learned: bool) -> float:
        return float(drift(QUANTIZER, sample(rows, learned), sample(fresh), 0.0, 0.25, 0).figures["error"]["old"])

    assert error(LEARNED, False) < 0.9 * error(fresh, False) < error(LEARNED, True) < 1.5 * error(fresh, False)


def test_many_more_of_one_kind_is_told_and_no_alarm() -> None:
    found = drift(QUANTIZER, sample(items(OWN, 100, 1)), sample(items(OWN[:1], 100, 2)), 0.0, 0.25, 0)
    assert found.figures["usage"]["distance"] > 2 * found.figures["usage"]["expected"]
    assert not found.refit and found.lines()[-1] == "the codebook still fits"


def test_a_handful_is_too_few_to_tell() -> None:
    found = drift(QUANTIZER, sample(items(OWN, 100, 1)), sample(items(OTHER, 19, 2)), 1.0, 0.25, 0)
    assert not found.refit and "at least 20 are needed" in found.lines()[-1]


def test_learned_items_that_are_alone_in_their_codes_give_no_all_clear() -> None:
    """Two items a code: corrected, they lie as far off as without any code, beside which everything looks near."""
    few = items(OWN, 40, 3)
    quantizer = ResidualKMeans.fit(few, (20, 20, 20), 0, 50, 1e-4)
    counts = [np.bincount(quantizer.encode(few)[:, level], minlength=20) for level in range(3)]
    old = Sample(few, [f"P{i}" for i in range(40)], True, counts)
    found = drift(quantizer, old, sample(items(OTHER, 60, 2)), 0.0, 0.25, 0)
    assert not found.figures["comparable"] and not found.refit
    assert found.lines()[-1].startswith("too few old items a code to tell: learn codes with 30 cold items")
    assert drift(quantizer, sample(items(OWN, 60, 4)), sample(items(OTHER, 60, 2)), 0.0, 0.25, 0).figures["comparable"]


def test_groups_with_no_place_left_are_a_reason_too() -> None:
    assert crowded_share(np.array([[0], [0], [1]], np.int32), np.array([1, 2]), tie_codes=2) == 0.5
    found = drift(QUANTIZER, sample(items(OWN, 100, 1)), sample(items(OWN, 100, 2)), 0.5, 0.25, 0)
    assert found.reasons == ("50% of the new items are in groups with nearly no tie code left (5% is accepted)",)
    assert json.loads(json.dumps(found.figures))["crowded"] == 0.5
    assert "learn new codes" in found.lines()[-1]
