"""Tiny real models and the slow, obvious way to score a catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from sidrec.recommend.beam import Normaliser
from sidrec.types import ItemCodes
from sidrec.vocabulary import SidVocabulary

TEXT_IDS = 40  # ids below it are words, then come the SID tokens


def vocabulary(sizes: Sequence[int]) -> SidVocabulary:
    return SidVocabulary(tuple(sizes), TEXT_IDS)


def tiny_qwen3(rows: int, seed: int = 0, tied: bool = True) -> PreTrainedModel:
    """Hidden 32, 2 layers, grouped heads; weights large enough for scores that differ."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=rows, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=256, initializer_range=0.3, tie_word_embeddings=tied,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def tiny_of(family: str, rows: int) -> PreTrainedModel:
    """Another family: other positions, norms, biases, and in GPT-2 names."""
    torch.manual_seed(1)
    common = {"vocab_size": rows, "max_position_embeddings": 256, "initializer_range": 0.3}
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    heads = {"num_key_value_heads": 2}
    model = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**common, **size, **heads)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**common, **size, **heads)),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**common, n_embd=32, n_layer=2, n_head=4)),
        "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**common, **size)),
        "qwen3 with biases": lambda: Qwen3ForCausalLM(Qwen3Config(**common, **size, **heads, head_dim=8, attention_bias=True)),
        "qwen3, angles by length": lambda: Qwen3ForCausalLM(
            Qwen3Config(
                **common, **size, **heads, head_dim=8,
                rope_parameters={
                    "rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 128, "rope_theta": 1e4
                },
            )
        ),
    }[family]()  # fmt: skip
    return model.eval()


def tiny_llama(rows: int) -> PreTrainedModel:
    return tiny_of("llama", rows)


def catalogue(seed: int, sizes: Sequence[int], n: int) -> ItemCodes:
    """``n`` distinct items at random places of the code space: holes in every level."""
    chosen = np.random.default_rng(seed).choice(int(np.prod(sizes)), n, replace=False)
    return ItemCodes(np.stack(np.unravel_index(chosen, tuple(sizes)), axis=1).astype(np.int32), tuple(sizes))


def prompts(seed: int, lengths: Sequence[int]) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, TEXT_IDS, length).tolist() for length in lengths]


@torch.inference_mode()
def scores(model: PreTrainedModel, codes: ItemCodes, prompt: Sequence[int], normaliser: Normaliser) -> NDArray[np.float64]:
    """float64 ``(N,)``: every item scored by one plain forward of the prompt and its codes."""
    names = vocabulary(codes.sizes)
    offsets = names.level_offsets
    ids = torch.tensor([[*prompt, names.start_id, *row] for row in (codes.codes + offsets).tolist()])
    logits = model(ids, use_cache=False).logits[:, len(prompt) : len(prompt) + codes.levels].double()
    total = np.zeros(codes.n_items)
    for item, row in enumerate(codes.codes):
        for level, code in enumerate(row):
            here = logits[item, level]
            if normaliser == "valid":
                siblings = codes.codes[(codes.codes[:, :level] == row[:level]).all(axis=1)][:, level]
                norm = here[torch.from_numpy(np.unique(siblings) + offsets[level])].logsumexp(0)
            else:
                norm = here.logsumexp(0)
            total[item] += float(here[code + offsets[level]] - norm)
    return total
