"""A two-layer Qwen3, a few conversations, and what a training needs of them."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from sidrec.config import StageConfig, TinyModel, TrainConfig
from sidrec.train import TokenizedConversations, build_base

SIZES = (4, 4, 2, 2)
TEXTS = [f"Product {i} for cats and dogs, number {i}." for i in range(50)]
TINY = TrainConfig(
    tiny=TinyModel(hidden=32, layers=2, heads=2, kv_heads=1, head_dim=16, intermediate=64, vocabulary=320),
    compute="float32",
    device="cpu",
)
STAGE = StageConfig(steps=6, tokens_per_step=128, tokens_per_batch=64, learning_rate=1e-2, checkpoint_minutes=60)


def tiny_model(vocabulary: int = 64, *, layers: int = 2, tied: bool = True, seed: int = 0) -> PreTrainedModel:
    """Hidden 32, 2 heads of 16 and 1 key head; random, and so big that attention is far from uniform."""
    config = Qwen3Config(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, tie_word_embeddings=tied, initializer_range=0.2,
        bos_token_id=None, eos_token_id=0, pad_token_id=None,
    )  # fmt: skip
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(config)


def tiny_base() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return build_base(TINY, TEXTS, seed=0)


def conversations(n: int = 40, vocabulary: int = 64, seed: int = 0, longest: int = 30) -> TokenizedConversations:
    """Random tokens; the last three of each conversation are its answer."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(5, longest + 1, n)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    mask = np.zeros(offsets[-1], dtype=np.bool_)
    for end in offsets[1:]:
        mask[end - 3 : end] = True
    return TokenizedConversations(draw.integers(0, vocabulary, offsets[-1]).astype(np.int32), mask, offsets)
