"""The model a run starts from: a tiny random Qwen3 with its own tokenizer, or one from disk or the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from sidrec.config import TinyModel, TrainConfig
from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.log import quiet_transformers
from sidrec.render import TURN_END, TURN_START
from sidrec.train.parts import base_of

PADDING = "<|endoftext|>"
# How Qwen3 cuts text before merging: contractions, words with their leading space, single digits, punctuation, line ends.
_PIECES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def build_base(config: TrainConfig, texts: Iterable[str], seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The base model and its tokenizer, on the CPU, weights in ``config.dtype``.

    ``base_model = "tiny"``: a byte-level BPE trained on ``texts`` (untrusted, so never control tokens) and a random Qwen3
    of ``config.tiny``. Otherwise a local folder or a hub name; ``texts`` is then not read.

    Raises:
        ConfigError: the base model cannot be found, is no causal language model, or has no Qwen3 tokenizer.
        DataError: there is no text to train a tokenizer on.
    """
    dtype: torch.dtype = getattr(torch, config.dtype)
    if config.base_model == "tiny":
        tokenizer = train_tokenizer(texts, config.tiny.vocabulary)
        return random_qwen3(config.tiny, tokenizer, seed).to(dtype), tokenizer  # type: ignore[arg-type]
    return load_base(config.base_model, dtype)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most ``vocabulary`` tokens that cuts text as Qwen3's does; the same texts, the same tokens.

    Raises:
        DataError: no text.
    """
    control = [AddedToken(name, normalized=False, special=True) for name in (PADDING, TURN_START, TURN_END)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(control), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    seen = 0

    def counted() -> Iterable[str]:
        nonlocal seen
        for text in texts:
            seen += 1
            yield text

    tokenizer.train_from_iterator(counted(), trainer)
    if not seen:
        raise DataError("there is no text to train the tiny model's tokenizer on: the catalogue has no conversations")
    tokenizer.add_special_tokens(control)
    made: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    return made(tokenizer_object=tokenizer, eos_token=TURN_END, pad_token=PADDING)


def random_qwen3(shape: TinyModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """A random Qwen3 with tied embeddings, drawn from the seed.

    Qwen's 0.02 is made for widths of thousands. At width D the standard deviation here is 0.55 / sqrt(D), GPT-2's ratio
    (0.02 at 768): after 60 steps on Beauty the validation loss was 2.536, against 2.650 with 0.02. The two matrices that
    write into the residual stream get 1 / sqrt(2 * layers) of it.
    """
    std = 0.554 * shape.hidden**-0.5
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.max_position,
        tie_word_embeddings=True,
        initializer_range=std,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    model = Qwen3ForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2:
                continue
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            scale = std * (2 * shape.layers) ** -0.5 if residual else std
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model


def load_base(name: str, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A causal language model and its fast tokenizer from a folder or the hub.

    Raises:
        ConfigError: see ``build_base``.
    """
    folder = Path(name).is_dir()
    if not folder and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ConfigError(f"train.base_model {name!r}: there is no such folder, and it is no name on the Hugging Face hub")
    if folder and not (Path(name) / "config.json").is_file():
        raise ConfigError(f"train.base_model {name!r} is a folder without config.json: no Hugging Face model was saved there")
    where = "a folder" if folder else "no folder here; looked for on the Hugging Face hub"
    part = "tokenizer"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        part = "causal language model"
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, trust_remote_code=False)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(f"no {part} can be loaded from train.base_model {name!r} ({where}): {_first_line(error)}") from error
    if not hasattr(base_of(model), "layers"):
        raise ConfigError(f"train.base_model {name!r} is no decoder of Qwen3's kind but a {model.config.model_type} model")
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ConfigError(f"train.base_model {name!r} has no fast tokenizer (tokenizer.json)")
    for token in (TURN_START, TURN_END):
        if tokenizer.backend_tokenizer.token_to_id(token) is None:
            raise ConfigError(f"the tokenizer of train.base_model {name!r} has no token {token}: sidrec needs a Qwen3 model")
    return model, tokenizer


def load_trained(folder: Path, config: TrainConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The result of a stage, to go on training: weights in ``config.dtype``, on the CPU.

    Raises:
        ArtifactError: the folder holds no model.
    """
    try:
        return load_base(str(folder), getattr(torch, config.dtype))
    except ConfigError as error:
        raise ArtifactError(f"{folder} holds no model to go on from; run `sidrec train-vocabulary` again") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
