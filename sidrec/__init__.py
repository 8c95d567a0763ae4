"""sidrec: recommendation by a language model that speaks semantic IDs."""

__version__ = "0.1.0"
