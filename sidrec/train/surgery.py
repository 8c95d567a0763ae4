"""Vocabulary surgery: the tokens of the semantic IDs become words of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal
from zlib import crc32

import numpy as np
import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from sidrec.errors import ConfigError
from sidrec.render import TURN_END, without_added_tokens
from sidrec.train.base import PADDING
from sidrec.train.parts import embedding_of, head_of, is_tied, matrix_of
from sidrec.vocabulary import SidVocabulary

_ROWS_MULTIPLE = 128  # matrix heights that GPUs like
_NOISE = 0.1  # of the old rows' spread: tells codes apart that are carried by the same items

# The format of render.py, for users of the saved tokenizer. It trusts its input; sidrec itself never uses it.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

Carried = Iterable[tuple[Sequence[int], str]]


def extend_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    sizes: tuple[int, ...],
    seed: int,
    initial_rows: Literal["mean", "title-mean"],
    items: Carried = (),
) -> SidVocabulary:
    """Add the SID tokens of level ``sizes`` to ``tokenizer`` and ``model``, in place.

    The embedding grows where it must, to a multiple of 128 rows, and never shrinks (Qwen3 has 267 spare rows; 1,027 new
    tokens make 152,704). All rows from the first new id on are initialised, of an untied head too: ``"mean"`` draws them
    around the mean old row with the old rows' spread; ``"title-mean"`` starts a code at the mean token row of the titles
    of ``items`` (codes and title, cold items left out by the caller) that carry it, at the old rows' scale. Works on the
    meta device, where only shapes change.

    Raises:
        ConfigError: the tokenizer already has SID tokens, or gives them other ids than the vocabulary expects.
    """
    before = len(tokenizer)
    vocabulary = SidVocabulary(sizes, first_id=before)
    backend = tokenizer.backend_tokenizer
    known = [str(token) for token in vocabulary.tokens if backend.token_to_id(str(token)) is not None]
    if known:
        raise ConfigError(
            f"the base model's tokenizer already has {known[0]} (and {len(known) - 1} more SID tokens): "
            "train.base_model must be a plain language model, not a result of sidrec"
        )
    tokenizer.add_tokens([AddedToken(str(token), normalized=False, special=False) for token in vocabulary.tokens])
    first, last = (backend.token_to_id(str(token)) for token in (vocabulary.tokens[0], vocabulary.tokens[-1]))
    if (first, last) != (vocabulary.first_id, vocabulary.last_id):
        raise ConfigError(
            f"the base model's tokenizer gave the new tokens the ids {first}..{last} instead of "
            f"{vocabulary.first_id}..{vocabulary.last_id}: its own ids have holes, sidrec needs a Qwen3 tokenizer"
        )
    _grow(model, vocabulary.last_id + 1)
    matrices = [matrix_of(embedding_of(model))]
    if not is_tied(model):
        matrices.append(matrix_of(head_of(model)))
    if not matrices[0].is_meta:
        counts = _title_tokens(tokenizer, vocabulary, items) if initial_rows == "title-mean" else None
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, crc32(b"rows")]).generate_state(1)[0]))
        for matrix in matrices:
            _start_rows(matrix, vocabulary, counts, generator)
    _set_tokens(model, tokenizer)
    return vocabulary


def _grow(model: PreTrainedModel, needed: int) -> None:
    rows = len(matrix_of(embedding_of(model)))
    if needed > rows:
        rows = -(-needed // _ROWS_MULTIPLE) * _ROWS_MULTIPLE
        with torch.random.fork_rng(devices=[]):  # the rows it draws are all overwritten
            model.resize_token_embeddings(rows, mean_resizing=False)
    model.config.vocab_size = rows  # serving engines want it to equal the matrix


def _title_tokens(
    tokenizer: PreTrainedTokenizerFast, vocabulary: SidVocabulary, items: Carried
) -> Tensor:  # fmt: skip
    """Sparse float32 ``(new tokens, old tokens)``: how often an old token stands in the titles that carry a new one."""
    rows: list[tuple[Sequence[int], str]] = list(items)
    encoded = without_added_tokens(tokenizer.backend_tokenizer).encode_batch([t for _, t in rows], add_special_tokens=False)
    lengths = np.asarray([len(e.ids) for e in encoded], dtype=np.int64)
    tokens = np.concatenate([np.asarray(e.ids, dtype=np.int64) for e in encoded] or [np.empty(0, np.int64)])
    codes_NL = np.asarray([codes for codes, _ in rows], dtype=np.int64).reshape(len(rows), vocabulary.levels)
    new_NL = codes_NL + vocabulary.level_offsets - vocabulary.first_id
    pairs = np.stack([np.repeat(new_NL, lengths, axis=0).ravel(), np.repeat(tokens, vocabulary.levels)])
    shape = (len(vocabulary.tokens), vocabulary.first_id)
    ones = torch.ones(pairs.shape[1])
    return torch.sparse_coo_tensor(torch.from_numpy(pairs), ones, shape, check_invariants=True).coalesce()


@torch.no_grad()
def _start_rows(matrix: nn.Parameter, vocabulary: SidVocabulary, counts: Tensor | None, generator: torch.Generator) -> None:
    """Overwrite every row of ``matrix`` ``(V, D)`` from the first new id on."""
    first, width = vocabulary.first_id, matrix.shape[1]
    old = matrix[:first].float()
    mean, spread = old.mean(0), old.std(0)
    noise = torch.randn((len(matrix) - first, width), generator=generator).to(matrix.device) * spread
    rows = mean + noise
    if counts is not None:
        counts = counts.to(matrix.device)
        totals = torch.sparse.sum(counts, dim=1).to_dense()
        carried = (totals > 0).nonzero()[:, 0]
        means = (torch.sparse.mm(counts, old) / totals.clamp_min(1)[:, None])[carried]
        # A mean of many rows is short (a published trial started 6 to 43 times too small): keep its direction, give it
        # the typical length of an old row.
        typical = old.norm(dim=1).median()
        rows[carried] = means * (typical / means.norm(dim=1, keepdim=True).clamp_min(1e-6)) + _NOISE * noise[carried]
    matrix[first:] = rows.to(matrix.dtype)


def _set_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """End of turn ends an answer; greedy and plain: top-k or a repetition penalty left by an instruct model breaks beams."""
    backend = tokenizer.backend_tokenizer
    tokenizer.eos_token = TURN_END
    tokenizer.pad_token = PADDING if backend.token_to_id(PADDING) is not None else TURN_END
    tokenizer.chat_template = CHAT_TEMPLATE
    end, padding = tokenizer.eos_token_id, tokenizer.pad_token_id
    plain: Callable[..., GenerationConfig] = GenerationConfig
    model.generation_config = plain(eos_token_id=end, pad_token_id=padding, do_sample=False)
    model.config.eos_token_id, model.config.pad_token_id = end, padding


def new_parameters(model: PreTrainedModel, vocabulary: SidVocabulary) -> int:
    """How many parameters the new tokens' rows have; an untied head counts too."""
    return len(vocabulary.tokens) * matrix_of(embedding_of(model)).shape[1] * (1 if is_tied(model) else 2)
