"""Plain greedy decoding without constraints: answers in words, and the share of invalid IDs a free model writes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from transformers import PreTrainedModel

from sidrec.errors import ConfigError, DataError
from sidrec.log import progress
from sidrec.recommend.decoder import Decoder
from sidrec.recommend.prompts import batches, check_prompts

_LONG = 256  # prompts from which progress is shown


def generate_text(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop_id: int, batch_size: int = 64
) -> list[list[int]]:
    """The most probable token again and again, until ``stop_id`` or ``max_new_tokens``; ``stop_id`` is not returned.

    Not ``model.generate``: that reads the folder's ``generation_config.json``, and the one shipped with instruct models
    (top-k 20, repetition penalty) changes results silently. ``batch_size`` changes nothing beyond float noise.

    Raises:
        DataError: a prompt is empty, too long together with its answer, or of another model.
    """
    if max_new_tokens < 1 or batch_size < 1:
        raise ConfigError(f"max_new_tokens and batch_size are at least 1, found {max_new_tokens} and {batch_size}")
    for number, prompt in enumerate(prompts):
        if not len(prompt):
            raise DataError(f"prompt {number} is empty: there is nothing to continue")
    check_prompts(model, prompts, behind=max_new_tokens)
    decoder = Decoder.open(model)
    answers: list[list[int]] = [[] for _ in prompts]
    shown = progress("generate", len(prompts)) if len(prompts) >= _LONG else nullcontext()
    with shown as bar:
        for batch in batches(prompts, batch_size):
            for i, answer in zip(batch, _greedy(decoder, [prompts[i] for i in batch], max_new_tokens, stop_id), strict=True):
                answers[i] = answer
            if bar is not None:
                bar.advance(len(batch))
    return answers


@torch.inference_mode()
def _greedy(decoder: Decoder, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop_id: int) -> list[list[int]]:
    branches = decoder.read(prompts, room=max_new_tokens - 1)
    first = branches.used
    written: list[list[int]] = [[] for _ in prompts]
    requests = list(range(len(prompts)))  # which request each row of the batch is
    hidden = branches.last
    for step in range(max_new_tokens):
        token = decoder.logits(hidden).argmax(dim=1)
        best = token.tolist()
        going = [at for at, value in enumerate(best) if value != stop_id]
        for at in going:
            written[requests[at]].append(best[at])
        if not going or step == max_new_tokens - 1:
            break
        if len(going) < len(requests):  # answers end at different lengths: rows that are done cost nothing more
            rows = torch.tensor(going, device=branches.device)
            branches.keep_rows(rows)
            token, requests = token[rows], [requests[at] for at in going]
        row = torch.arange(len(requests), device=branches.device)[:, None]
        sees = torch.arange(first, branches.used + 1, device=branches.device)[None]
        below = torch.full_like(token, step)
        hidden = branches.append(token[:, None], below[:, None], row, torch.zeros_like(row), sees)[:, 0]
    return written
