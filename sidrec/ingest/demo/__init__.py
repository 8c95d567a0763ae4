"""The demo shop: a seeded simulator of a pet-supplies shop; every product, customer and word of it is invented."""

from sidrec.ingest.demo.shop import ATTRIBUTES, simulate_shop

__all__ = ["ATTRIBUTES", "simulate_shop"]
