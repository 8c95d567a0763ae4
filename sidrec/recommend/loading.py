"""A Hugging Face folder to a model that is ready to decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from sidrec.errors import ArtifactError, ConfigError
from sidrec.log import quiet_transformers


def resolve_device(name: str) -> str:
    """``auto`` is the first GPU where torch sees one, else the CPU; any other name is checked.

    Raises:
        ConfigError: torch knows no such device, or does not see it here.

    >>> resolve_device("cpu")
    'cpu'
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the device {name!r} cannot be used here ({reason}): 'auto', 'cpu', or 'cuda' with a GPU") from None
    return name


def load_model(folder: Path, device: str, dtype: str = "saved") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The plain ``AutoModelForCausalLM``/``AutoTokenizer`` load, from local files only, in evaluation mode.

    ``dtype``: ``"saved"``, ``"float32"``, ``"bfloat16"``, or ``"auto"``: bfloat16 on a GPU, where float32 has no fast kernels,
    and as saved elsewhere.

    Raises:
        ArtifactError: the folder is missing or damaged, or its weights are not those of its config.
    """
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder} holds no model (no {name}): run the stage that makes it again")
    if dtype == "auto":
        dtype = "bfloat16" if torch.device(device).type == "cuda" else "saved"
    wanted = "auto" if dtype == "saved" else getattr(torch, dtype, None)  # transformers' "auto" is as saved
    if not (wanted == "auto" or isinstance(wanted, torch.dtype)):
        raise ConfigError(f"unknown dtype {dtype!r}: 'auto', 'saved', 'float32' or 'bfloat16'")
    try:
        with quiet_transformers():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=wanted, attn_implementation="sdpa", local_files_only=True, trust_remote_code=False,
                use_safetensors=True, ignore_mismatched_sizes=True, output_loading_info=True,
            )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtifactError(f"the model in {folder} cannot be loaded ({reason}): run the stage that makes it again") from error
    model: PreTrainedModel = loaded[0]
    # transformers fills weights that it does not find with random ones, drops those it does not know, and only logs it.
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if names := sorted(str(name) for name in loaded[1][kind]):
            raise ArtifactError(
                f"the weights in {folder} do not fit its config.json ({len(names)} {kind.replace('_', ' ')}, "
                f"e.g. {names[0]}): run the stage that makes it again"
            )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ArtifactError(f"the tokenizer in {folder} is no fast tokenizer (no tokenizer.json): run its stage again")
    return model.to(device).eval(), tokenizer  # type: ignore[arg-type]
