"""The parts of a transformers model that training touches, with types (transformers itself is only partly typed)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel


def embedding_of(model: PreTrainedModel) -> nn.Module:
    """The module that turns ids into vectors."""
    found: nn.Module = model.get_input_embeddings()
    return found


def head_of(model: PreTrainedModel) -> nn.Module:
    """The module that turns hidden states into logits."""
    untyped: Any = model
    found: nn.Module = untyped.get_output_embeddings()
    return found


def matrix_of(module: nn.Module) -> nn.Parameter:
    """The weight ``(V, D)`` of an embedding or a head."""
    found = module.weight
    assert isinstance(found, nn.Parameter)
    return found


def is_tied(model: PreTrainedModel) -> bool:
    """Whether embedding and head are one matrix."""
    return matrix_of(head_of(model)) is matrix_of(embedding_of(model))


def base_of(model: PreTrainedModel) -> Any:
    """The decoder under the head: ``layers``, ``norm``."""
    return model.base_model


@contextmanager
def recomputed_activations(model: PreTrainedModel) -> Iterator[None]:
    """Gradient checkpointing inside the context. transformers renamed its switch between 5.17 and 5.23."""
    untyped: Any = model
    word = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(untyped, f"{word}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(untyped, f"{word}_checkpointing_disable")()
        untyped.disable_input_require_grads()  # a hook on the embedding that switching off leaves behind
