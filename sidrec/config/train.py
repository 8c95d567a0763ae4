"""Vocabulary surgery and training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sidrec.config.base import Count, Positive, Share, Table


class TinyModel(Table):
    """Shape of the small Qwen3 that ``base_model = "tiny"`` builds, with random weights and its own tokenizer."""

    hidden: Positive = Field(128, description="Width.")
    layers: Positive = Field(3, description="Decoder layers.")
    heads: Positive = Field(4, description="Attention heads.")
    kv_heads: Positive = Field(2, description="Key and value heads.")
    head_dim: Positive = Field(32, description="Width of a head.")
    intermediate: Positive = Field(384, description="Width inside the MLP.")
    vocabulary: int = Field(4096, ge=300, description="Tokens of the byte-level BPE trained on the corpus.")
    max_position: Positive = Field(4096, description="Longest sequence.")


class StageConfig(Table):
    """One training stage."""

    steps: Count = Field(0, description="Optimiser steps; 0: as many as the epochs make.")
    epochs: float = Field(1.0, ge=0.0, description="Passes over the conversations, where steps is 0.")
    tokens_per_step: Positive = Field(16384, description="Tokens that one optimiser step sees, over all micro-batches.")
    tokens_per_batch: Positive = Field(8192, description="Tokens of one packed micro-batch; less needs less memory.")
    learning_rate: float = Field(1e-3, gt=0.0, description="Peak learning rate.")
    min_learning_rate_ratio: Share = Field(0.2, description="Cosine schedule: the end, as a share of the peak.")
    warmup_ratio: Share = Field(0.03, description="Share of the steps with a rising learning rate.")
    weight_decay: float = Field(0.01, ge=0.0, description="AdamW's decoupled weight decay (matrices only).")
    beta2: float = Field(0.95, gt=0.0, lt=1.0, description="AdamW's second-moment decay.")
    clip: float = Field(1.0, gt=0.0, description="Largest gradient norm.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout after attention, MLP and embedding, from scratch.")
    optimizer: Literal["adamw", "adamw8bit"] = Field("adamw", description="'adamw8bit' needs the extra 'train8bit' (torchao).")
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, about a third slower.")
    checkpoint_minutes: float = Field(5.0, gt=0.0, description="Time between checkpoints.")
    keep_checkpoints: Positive = Field(2, description="How many checkpoints are kept.")
    valid_every: Count = Field(0, description="Steps between validation losses; 0: only at the end.")


class TrainConfig(Table):
    """Vocabulary surgery and the two training stages."""

    base_model: str = Field("tiny", description="'tiny', a Hugging Face folder, or a hub name such as Qwen/Qwen3-1.7B.")
    tiny: TinyModel = Field(default_factory=TinyModel, description="Shape of the tiny model.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Master weights; bfloat16 wants adamw8bit.")
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of the arithmetic; 'auto': bfloat16 where the machine is fast in it, masters keep dtype."
    )
    device: str = Field("auto", description="'auto', 'cpu', 'cuda'...")
    initial_rows: Literal["mean", "title-mean"] = Field(
        "title-mean", description="Start of the new rows: the mean row with noise, or the mean of title-token rows."
    )
    max_tokens: Positive = Field(1024, description="Longest conversation; a longer one is left out and counted.")
    vocabulary: StageConfig = Field(
        default_factory=lambda: StageConfig(steps=100), description="Stage 1: only the new rows learn."
    )
    full: StageConfig = Field(default_factory=StageConfig, description="Stage 2: everything learns.")
