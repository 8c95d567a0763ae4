"""The constraint "after ``<|sid_start|>`` only items" for other engines: transformers, vLLM, SGLang (docs/elsewhere.md)."""

from sidrec.recommend.elsewhere.constraint import SidConstraint
from sidrec.recommend.elsewhere.huggingface import SidLogitsProcessor

__all__ = ["SidConstraint", "SidLogitsProcessor"]
