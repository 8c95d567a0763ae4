"""Random models and catalogues of given shapes, for what depends on the shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from sidrec.types import ItemCodes

SIZES = (256, 256, 256, 256)


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    hidden: int
    layers: int
    heads: int
    head_width: int
    words: int
    items: tuple[int, ...]
    beams: tuple[int, ...]
    contexts: tuple[int, ...]
    concurrency: tuple[int, ...]
    rate_context: int
    seconds: float  # of each measurement


PLANS = {
    "1.7b": Plan(2048, 28, 16, 128, 151_669, (100_000, 1_000_000), (50, 256), (200, 1000, 5000), (1, 8, 64), 1000, 5.0),
    "256x4": Plan(256, 4, 8, 32, 151_669, (100_000, 1_000_000), (10, 50), (200,), (1, 8, 16), 200, 10.0),
    "tiny": Plan(64, 2, 4, 16, 300, (500, 2000), (5, 12), (20, 70), (1, 4), 20, 0.1),
}


def random_codes(n: int, seed: int = 0) -> ItemCodes:
    keys = np.unique(np.random.default_rng(seed).integers(0, 1 << 32, n + n // 100 + 10))
    chosen = np.random.default_rng(seed).permutation(keys)[:n].astype(">u4")
    return ItemCodes(chosen.view(np.uint8).reshape(n, 4).astype(np.int32), SIZES)


def random_model(plan: Plan, device: torch.device, rows: int) -> PreTrainedModel:
    config = Qwen3Config(
        vocab_size=-(-rows // 128) * 128, hidden_size=plan.hidden, intermediate_size=3 * plan.hidden,
        num_hidden_layers=plan.layers, num_attention_heads=plan.heads, num_key_value_heads=plan.heads // 2,
        head_dim=plan.head_width, max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    try:
        with device:
            return Qwen3ForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
