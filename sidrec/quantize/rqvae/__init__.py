"""RQ-VAE: codes learned together with a network that maps vectors to them and back. ``fit.py`` needs torch, the rest not."""

from sidrec.quantize.rqvae.quantizer import RqVae

__all__ = ["RqVae"]
