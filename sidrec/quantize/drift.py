"""Whether a frozen codebook still fits the items that arrive.

**The rule.** New items are compared with items that the codebook did not learn from either, for it flatters those that it
did: on the demo shop (2,000 products, 3 x 256 codes) learned items lie at a squared error of .05, unlearned ones of the same
shop at .15. It is time to fit again when the mean squared error of the new items is more than ``limit`` (a share) above that
of the old ones *and* the difference is more than chance would give (Welch's z above 3); or when more than a twentieth of the
new items sit in groups whose tie codes are nine tenths full, so that the next ones will find no place.

The old ones are the cold items of the build. Where these are fewer than 30, all items stand in, their errors corrected for
having been learned from: without item ``x`` the centre of its ``m`` items would lie ``m / (m - 1)`` times as far from it.
That is rough (measured: .94 to 1.6 times the error of cold items, where it is .36 to .85 uncorrected), so ``limit`` counts
double then. Of 1,000 deliveries of 20 to 200 items of the same shop none raised an alarm, of 60 from another shop all did
(``tests/quantize/test_drift.py``). With a few items a code the correction ends where no code would be, and says nothing: then
neither alarm nor all-clear is given on errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.quantize.prefixes import perplexity
from sidrec.types import Quantizer

ENOUGH = 30  # cold items that may speak for the old ones
_FEWEST = 20  # new items from which something can be said
_CHANCE = 3.0  # standard errors
_CROWDED, _FULL = 0.05, 0.9
_DRAWS = 200
_BLIND = 0.9  # of the error without any code: corrected items beyond it are no measure


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some items: joined ``vectors`` float32 ``(n, D)`` as of items that nobody bought, and ids to name them by.

    ``learned`` says that the codebook learned from them, with ``counts[l][k]`` items in code ``k`` of level ``l``.
    """

    vectors: NDArray[np.float32]
    item_ids: Sequence[str]
    learned: bool = False
    counts: Sequence[NDArray[np.int64]] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """``figures`` for ``--json``; ``reasons`` are sentences, and there is one or more where it is time to fit again."""

    figures: dict[str, Any]
    reasons: tuple[str, ...]

    @property
    def refit(self) -> bool:
        return bool(self.reasons)

    def lines(self) -> list[str]:
        """For a person."""
        found, error, usage = self.figures, self.figures["error"], self.figures["usage"]
        kind = "learned ones, corrected" if found["old_items_learned"] else "cold ones"
        said = [
            f"{found['new_items']:,} new items against {found['old_items']:,} old ones ({kind})",
            f"squared error {error['new']:.4f} against {error['old']:.4f}: {error['ratio']:.2f} times, z = {error['z']:.1f}; "
            f"without any code it would be {error['spread']:.4f}",
            f"use of the first codes: {usage['distance']:.2f} apart, where chance makes {usage['expected']:.2f}",
        ]
        said += [
            f"  level {row['level']}: residual {row['new_residual']:.4f} against {row['old_residual']:.4f}, perplexity "
            f"{row['new_perplexity']:.1f} against {row['old_perplexity']:.1f}"
            for row in found["levels"]
        ]
        farthest = ", ".join(f"{one['item_id']} ({one['error']:.3f})" for one in found["worst"])
        said.append(f"farthest from their codes: {farthest}")
        if self.refit:
            return [*said, *self.reasons, "the codebook no longer fits what arrives: learn new codes and train on them"]
        if not found["enough"]:
            return [*said, f"too few new items to tell: at least {_FEWEST} are needed"]
        if not found["comparable"]:
            return [
                *said,
                f"too few old items a code to tell: learn codes with {ENOUGH} cold items or more (ingest.cold_share), or with "
                "smaller quantize.levels",
            ]
        return [*said, "the codebook still fits"]


def drift(quantizer: Quantizer, old: Sample, new: Sample, crowded: float, limit: float, seed: int) -> Drift:
    """Compare new items with old ones; see above for the rule.

    ``crowded`` is the share of new items in groups with nearly full tie codes (see ``crowded_share``).

    ``figures``: ``error`` (mean squared, old and new, their ratio, Welch's ``z``, and ``spread``, the old items' squared
    distance from what no code decodes to), ``usage`` (how far the new items' share of each A code lies from the old ones', 0 to
    1, and how far as many old items drawn at random would), ``levels`` (residual and perplexity), and ``worst``, the new items
    that fit least. Usage alone is no reason: a codebook may fit cats well of which a shop now gets many more.
    """
    codes_old, codes_new = quantizer.encode(old.vectors), quantizer.encode(new.vectors)
    levels = len(quantizer.sizes)
    errors_old = [_errors(quantizer, old, codes_old, level) for level in range(levels + 1)]
    errors_new = [_errors(quantizer, new, codes_new, level) for level in range(levels + 1)]
    before, after = errors_old[-1], errors_new[-1]
    ratio = float(after.mean() / max(float(before.mean()), 1e-12))
    noise = float(np.sqrt(before.var() / len(before) + after.var() / len(after)))
    z = float((after.mean() - before.mean()) / max(noise, 1e-12))
    distance, expected = _usage(codes_old[:, 0], codes_new[:, 0], quantizer.sizes[0], seed)
    worst = np.argsort(-after, kind="stable")[:5]
    enough = len(after) >= _FEWEST
    accepted = 1 + limit * (2 if old.learned else 1)
    comparable = not old.learned or float(before.mean()) < _BLIND * float(errors_old[0].mean())
    reasons = []
    if enough and comparable and ratio > accepted and z > _CHANCE:
        reasons.append(
            f"new items lie {ratio:.2f} times as far from their codes as old ones (squared error {after.mean():.3f} against "
            f"{before.mean():.3f}; up to {accepted:.2f} is accepted)"
        )
    if enough and crowded > _CROWDED:
        reasons.append(
            f"{crowded:.0%} of the new items are in groups with nearly no tie code left ({_CROWDED:.0%} is accepted)"
        )
    figures = {
        "new_items": len(after),
        "old_items": len(before),
        "old_items_learned": old.learned,
        "enough": enough,
        "comparable": comparable,
        "error": {
            "old": round(float(before.mean()), 6),
            "new": round(float(after.mean()), 6),
            "ratio": round(ratio, 4),
            "z": round(z, 2),
            "spread": round(float(errors_old[0].mean()), 6),
            "accepted": round(accepted, 4),
        },
        "usage": {"distance": round(distance, 4), "expected": round(expected, 4)},
        "crowded": round(crowded, 4),
        "levels": [
            {
                "level": ascii_uppercase[level],
                "old_residual": round(float(errors_old[level + 1].mean()), 6),
                "new_residual": round(float(errors_new[level + 1].mean()), 6),
                "old_perplexity": round(perplexity(codes_old[:, level], size), 2),
                "new_perplexity": round(perplexity(codes_new[:, level], size), 2),
            }
            for level, size in enumerate(quantizer.sizes)
        ],
        "worst": [{"item_id": new.item_ids[row], "error": round(float(after[row]), 6)} for row in worst.tolist()],
    }
    return Drift(figures, tuple(reasons))


def crowded_share(learned_ML: NDArray[np.int32], new: NDArray[np.int64], tie_codes: int) -> float:
    """Share of ``new``, rows of all learned codes, whose group of equal ones has nearly no tie code left."""
    _, group, sizes = np.unique(learned_ML, axis=0, return_inverse=True, return_counts=True)
    return float((sizes[group.ravel()[new]] >= _FULL * tie_codes).mean())


def _errors(quantizer: Quantizer, sample: Sample, codes: NDArray[np.int32], levels: int) -> NDArray[np.float64]:
    """Squared error of each item after so many levels, as if the codebook had not learned from it."""
    residual = sample.vectors - quantizer.decode(codes[:, :levels])
    errors: NDArray[np.float64] = np.einsum("nd,nd->n", residual, residual, dtype=np.float64)
    if not sample.learned or not levels:
        return errors
    worst = sample.vectors - quantizer.decode(codes[:, :0])
    bound: NDArray[np.float64] = np.einsum("nd,nd->n", worst, worst, dtype=np.float64)
    for level in range(levels):
        others = sample.counts[level][codes[:, level]] - 1
        errors = np.where(others > 0, errors * ((others + 1) / np.maximum(others, 1)) ** 2, np.inf)
    return np.asarray(np.minimum(errors, bound))


def _usage(old: NDArray[np.int32], new: NDArray[np.int32], size: int, seed: int) -> tuple[float, float]:
    """Total variation between the two usages, and its mean for samples of ``len(new)`` drawn from ``old``."""
    shares = np.bincount(old, minlength=size) / len(old)
    found = float(np.abs(np.bincount(new, minlength=size) / len(new) - shares).sum() / 2)
    rng = np.random.default_rng([seed, *b"quantize.drift"])
    drawn = rng.multinomial(len(new), shares, size=_DRAWS) / len(new)
    return found, float(np.abs(drawn - shares).sum(axis=1).mean() / 2)
