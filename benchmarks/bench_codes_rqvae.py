"""The RQ-VAE's rows of ``bench_codes.py``: through ``quantize``, as a run does it, with and without moving collisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sidrec.config import QuantizeConfig
from sidrec.quantize.stage import Quantized, quantize
from sidrec.types import ItemVectors

if TYPE_CHECKING:
    from bench_codes import Bench
    from bench_codes_data import Catalogue

VARIANTS: dict[str, dict[str, Any]] = {
    "RQ-VAE": {},
    "RQ-VAE, rotation trick": {"gradient": "rotation"},
    "RQ-VAE, masking": {"mask_share": 0.3},
    "RQ-VAE, contrastive": {"contrast_weight": 0.2},
}
QUICK = ("RQ-VAE",)


def rows(bench: Bench, shop: Catalogue, levels: tuple[int, ...], weight: float, about: str, quick: bool) -> None:
    """Residual k-means through the same door first: what the goals are relative to."""
    before = _made(bench, shop, {"method": "residual-kmeans", "levels": levels, "behaviour_weight": weight})[0]
    overlap = before.health["neighbours"]["overlap@10"]
    bench.add(f"{about}, residual k-means: neighbour overlap@10", overlap, "of 1")
    shared = _shared(before, shop)
    for name, settings in VARIANTS.items():
        if quick and name not in QUICK:
            continue
        if quick:
            settings = settings | {"epochs": 20}
        config = {"method": "rq-vae", "levels": levels, "behaviour_weight": weight, "rqvae": {"device": "cpu"} | settings}
        made, seconds = _made(bench, shop, config)
        _write(bench, shop, f"{about}, {name}", made, seconds, overlap, shared, bench.real and not quick and name == "RQ-VAE")


def _made(bench: Bench, shop: Catalogue, config: dict[str, Any]) -> tuple[Quantized, float]:
    everyone = np.zeros(len(shop.ids), np.bool_)
    with bench.timed() as seconds:
        made = quantize(ItemVectors(shop.vectors), shop.ids, everyone, shop.histories, QuantizeConfig.model_validate(config), 0)
    return made, seconds[0]


def _shared(made: Quantized, shop: Catalogue) -> list[float]:
    codes = made.encoded
    return [float((codes[shop.last, :n] == codes[shop.following, :n]).all(axis=1).mean()) for n in (1, 2)]


def _write(
    bench: Bench,
    shop: Catalogue,
    name: str,
    made: Quantized,
    seconds: float,
    overlap: float,
    shared: list[float],
    judged: bool,
) -> None:
    learned = made.health["levels"][: len(made.quantizer.sizes)]
    text = np.unique(shop.vectors, axis=0, return_inverse=True, return_counts=True)
    told_apart = text[2][text[1].ravel()] == 1
    bench.add(f"{name}: time, health included", seconds, "s", digits=2)
    for level in learned:
        where = f"{name}: {{}} of {level['level']}"
        used, most = level["used"] / level["size"], level["size"]
        bench.add(where.format("codes used"), used, "of 1", 1.0 if judged else None)
        bench.add(where.format("perplexity"), level["perplexity"], f"of {most}", 230 if judged else None, digits=1)
    for codes, what in ((made.encoded, "not moved"), (made.codes.learned, "moved")):
        _, group, sizes = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
        alone = float((sizes[group.ravel()] == 1)[told_apart].mean())
        bench.add(f"{name}: alone in their code where text differs, {what}", alone, "of 1", 0.97 if judged else None)
        bench.add(f"{name}: distinct codes an item, {what}", len(sizes) / len(codes), "of 1")
    away = made.fused - made.quantizer.decode(made.encoded)
    bench.add(f"{name}: residual", float(np.einsum("nd,nd->n", away, away).mean(dtype=np.float64)), "")
    goal = overlap if judged else None
    bench.add(f"{name}: neighbour overlap@10", made.health["neighbours"]["overlap@10"], "of 1", goal)
    for n, share in enumerate(_shared(made, shop), start=1):
        bench.add(f"{name}: next purchase shares {'AB'[:n]}", share, "of 1", shared[n - 1] if judged else None)
