"""Vectors to semantic IDs."""

from sidrec.quantize.behaviour import behaviour_vectors
from sidrec.quantize.codebook import Codebook
from sidrec.quantize.collisions import mean_residual, move_collisions
from sidrec.quantize.diff import Difference, compare
from sidrec.quantize.drift import ENOUGH, Drift, Sample, crowded_share, drift
from sidrec.quantize.frozen import load_quantizer
from sidrec.quantize.fusion import Fusion
from sidrec.quantize.health import health
from sidrec.quantize.rebuild import rebuild
from sidrec.quantize.registry import Registry, text_fingerprints
from sidrec.quantize.residual_kmeans import ResidualKMeans
from sidrec.quantize.seats import seat
from sidrec.quantize.stage import Quantized, quantize
from sidrec.quantize.ties import break_ties

__all__ = [
    "ENOUGH",
    "Codebook",
    "Difference",
    "Drift",
    "Fusion",
    "Quantized",
    "Registry",
    "ResidualKMeans",
    "Sample",
    "behaviour_vectors",
    "break_ties",
    "compare",
    "crowded_share",
    "drift",
    "health",
    "load_quantizer",
    "mean_residual",
    "move_collisions",
    "quantize",
    "rebuild",
    "seat",
    "text_fingerprints",
]
