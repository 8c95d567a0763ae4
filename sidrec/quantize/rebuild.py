"""A grown catalogue with the codebook of an earlier build: old items keep their codes, new ones are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sidrec.config import QuantizeConfig
from sidrec.quantize.codebook import Codebook
from sidrec.quantize.fusion import Given
from sidrec.quantize.health import health
from sidrec.quantize.registry import Registry
from sidrec.quantize.stage import Quantized
from sidrec.types import ItemVectors


def rebuild(
    codebook: Codebook,
    registry: Registry,
    vectors: ItemVectors,
    item_ids: Sequence[str],
    texts: Sequence[str],
    histories: Sequence[NDArray[np.int32]],
    config: QuantizeConfig,
    seed: int,
    categories: Sequence[str] | None = None,
    given: Given | None = None,
) -> tuple[Quantized, Registry]:
    """Codes of a catalogue (row i is item i) that grew since ``registry``, and the registry that goes on.

    ``texts`` are ``text_fingerprints``. A tie level grows to ``config.tie_codes``: more places, and no code moves. All items
    are joined as if nobody had bought them, the old ones for the health figures alone; so those read the errors of often
    bought items too high where co-purchase has a weight.

    Raises:
        DataError: an item id stands twice, vectors are of another width than the codebook's or of no use, or a new item
            finds no place (see ``seat``).
    """
    if registry.tie_level:
        registry = replace(registry, sizes=(*registry.sizes[:-1], max(registry.sizes[-1], config.tie_codes)))
    fused = codebook.join(vectors.vectors, given or {}, item_ids)
    new = registry.unknown(item_ids)
    _, codes = codebook.place(registry, fused[new], [item_ids[i] for i in new], config)
    after = registry.with_catalogue(item_ids, texts, new, codes)
    here, encoded = after.row_codes(), codebook.quantizer.encode(fused)
    figures = health(vectors.vectors, fused, codebook.quantizer, here, histories, encoded, item_ids, categories, seed)
    made = Quantized(here, encoded, codebook.quantizer, fused, figures, codebook.fusion, registry.residual)
    return made, after
