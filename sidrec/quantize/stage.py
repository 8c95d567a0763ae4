"""The room's door: vectors and purchases in, semantic IDs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec.config import QuantizeConfig
from sidrec.errors import ConfigError, DataError
from sidrec.quantize.checks import refuse_empty, refuse_twice
from sidrec.quantize.collisions import mean_residual, move_collisions
from sidrec.quantize.fusion import Fusion, Given
from sidrec.quantize.health import health
from sidrec.quantize.lesson import Lesson, Method
from sidrec.quantize.residual_kmeans import ResidualKMeans, fit_residual_kmeans
from sidrec.quantize.rqvae import RqVae
from sidrec.quantize.ties import break_ties
from sidrec.types import ItemCodes, ItemVectors, Quantizer


def _fit_rqvae(lesson: Lesson, config: QuantizeConfig) -> Quantizer:
    from sidrec.quantize.rqvae.fit import fit_rqvae  # torch takes seconds to import, and only this needs it

    return fit_rqvae(lesson, config)


METHODS: dict[str, Method] = {ResidualKMeans.METHOD: fit_residual_kmeans, RqVae.METHOD: _fit_rqvae}
"""By ``config.method``; the same names as in ``frozen.LOADERS``."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """``codes``, the frozen ``quantizer``, what it was given (``fused``, float32 ``(N, D')``), and ``health`` (JSON-able).

    ``encoded``, int32 ``(N, levels)``, is what the quantizer says of ``fused``: the learned codes before colliding items were
    moved. ``fusion`` joins the vectors of items that come later as it did here. ``residual`` is the mean squared error of the
    last level, the unit of ``collision_limit``.
    """

    codes: ItemCodes
    encoded: NDArray[np.int32]
    quantizer: Quantizer
    fused: NDArray[np.float32]
    health: dict[str, Any]
    fusion: Fusion
    residual: float


def quantize(
    vectors: ItemVectors,
    item_ids: Sequence[str],
    cold: NDArray[np.bool_],
    histories: Sequence[NDArray[np.int32]],
    config: QuantizeConfig,
    seed: int,
    workspace: Path | None = None,
    categories: Sequence[str] | None = None,
    given: Given | None = None,
) -> Quantized:
    """Semantic IDs of all items: ``len(config.levels)`` learned levels and, unless ``tie_codes`` is 0, one that breaks ties.

    ``histories`` are the training parts. Cold items have no say in the codes of the others: the codebook is fitted without
    them, their purchases are not counted, and where they collide or tie with others they stand behind. Vectors of
    ``given`` and, with ``config.behaviour_weight`` above 0, of co-purchase are joined to the text's (see ``Fusion``).
    ``categories``, one name an item, are only measured against (see ``health``).

    Raises:
        ConfigError: there are more levels than letters, or no vector has a weight.
        DataError: lengths differ, a vector is zero or not finite, an item id stands twice, all items are cold, or a level
            has more codes than there are items to learn from.
    """
    if len(config.levels) >= len(ascii_uppercase):
        raise ConfigError(f"quantize.levels has {len(config.levels)} levels; with the tie level there are letters for 26")
    text = vectors.vectors
    _check(text, item_ids, cold, histories)
    warm = [history[~cold[history]] for history in histories]
    fusion, fused = Fusion.fit(text, given or {}, cold, warm, config, seed)
    quantizer = METHODS[config.method](Lesson(fused, np.flatnonzero(~cold), warm, seed, workspace), config)
    encoded = quantizer.encode(fused)
    learned = encoded
    residual = mean_residual(quantizer, fused, encoded, np.flatnonzero(~cold))
    if config.collisions == "move":
        learned = move_collisions(quantizer, fused, encoded, item_ids, config.collision_limit * residual, late=cold)
    codes = ItemCodes(learned, quantizer.sizes, tie_level=False)
    if config.tie_codes > 0:
        unique, tie_size = break_ties(learned, item_ids, config.tie_codes, cold, config.tie_overflow)
        codes = ItemCodes(unique, (*quantizer.sizes, tie_size))
    figures = health(text, fused, quantizer, codes, histories, encoded, item_ids, categories, seed)
    return Quantized(codes, encoded, quantizer, fused, figures, fusion, residual)


def _check(
    text: NDArray[np.float32], item_ids: Sequence[str], cold: NDArray[np.bool_], histories: Sequence[NDArray[np.int32]]
) -> None:
    if not len(text) == len(item_ids) == len(cold):
        raise DataError(
            f"{len(text)} vectors, {len(item_ids)} item ids and {len(cold)} cold marks do not belong together: "
            "run `sidrec ingest` and `sidrec embed` again"
        )
    refuse_twice(item_ids)
    refuse_empty(text, item_ids, "run `sidrec embed` again")
    if not (~cold).any():
        raise DataError(f"all {len(cold)} items are cold, so there is nothing to learn codes from: lower ingest.cold_share")
    highest = max((int(history.max()) for history in histories if len(history)), default=-1)
    lowest = min((int(history.min()) for history in histories if len(history)), default=0)
    if lowest < 0 or highest >= len(text):
        wrong = lowest if lowest < 0 else highest
        raise DataError(f"histories name item {wrong}, but there are only items 0 to {len(text) - 1}")
