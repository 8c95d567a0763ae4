"""A model opened for decoding, after a trial on the model itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from sidrec.errors import ArtifactError
from sidrec.recommend.branches import AnyBranches, Branches
from sidrec.recommend.qwen3 import Qwen3Branches

# Largest difference of a log-probability from the model's own, for logits up to 32; larger ones carry larger rounding.
# Seen in float32: 6e-6 at most, in bfloat16 0.01 to 0.09 (3 layers); a wrong mask or position gives whole units.
_TOLERANCE, _HALF_TOLERANCE, _LOGITS = 1e-4, 1.0, 32.0


@dataclass(frozen=True, slots=True)
class Decoder:
    """Runs prompts and trees of tokens, and turns hidden states into logits of just the rows that a level needs."""

    model: PreTrainedModel
    kind: type[Branches]
    weight: Tensor
    bias: Tensor | None

    @classmethod
    def open(cls, model: PreTrainedModel) -> Decoder:
        """Puts the model into evaluation mode and compares a small tree with the model's plain forward of each path.

        A mask, position or scaling that is silently not what the decoder takes it for would give plausible, wrong scores.

        Raises:
            ArtifactError: the model cannot be decoded this way.
        """
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"} or model.config._attn_implementation != "sdpa":
            raise ArtifactError(
                f"the decoder needs a model of full attention run by 'sdpa', found layers {sorted(kinds)} run by "
                f"{model.config._attn_implementation!r}; load the folder with sidrec.recommend.load_model"
            )
        model.eval()  # type: ignore[no-untyped-call]
        head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        kind = Qwen3Branches if Qwen3Branches.fits(model) else AnyBranches
        decoder = cls(model, kind, head.weight, getattr(head, "bias", None))
        gap = decoder._trial()
        if not gap <= (_TOLERANCE if model.dtype in (torch.float32, torch.float64) else _HALF_TOLERANCE):
            raise ArtifactError(
                f"two beams below one prompt do not give this model's own logits (log-probabilities differ by {gap:.2g}): it "
                "scales or masks in a way that sidrec's decoder does not know, or its weights are damaged"
            )
        return decoder

    @property
    def rows(self) -> int:
        """Rows of the output embedding."""
        return len(self.weight)

    def read(self, prompts: Sequence[Sequence[int]], room: int) -> Branches:
        """Read a batch of prompts, with ``room`` for so many tokens below each."""
        return self.kind(self.model, prompts, room)

    def logits(self, hidden_ND: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """float32 logits of the tokens ``start`` .. ``stop - 1``; default: all."""
        bias = None if self.bias is None else self.bias[start:stop]
        return F.linear(hidden_ND, self.weight[start:stop], bias).float()

    @torch.inference_mode()
    def _trial(self) -> float:
        """The largest difference of a log-probability over two paths below prompts of one and two tokens."""
        last = self.rows - 1
        prompts = [[0], [last, 0]]
        branches = self.read(prompts, room=3)
        device = self.model.device
        tokens = torch.tensor([[0, last, last]] * 2, device=device)  # 0 -> last, and last beside them
        below = torch.tensor([[0, 1, 0]] * 2, device=device)
        edges = torch.tensor([(row, *edge) for row in (0, 1) for edge in ((0, 2), (1, 2), (1, 3), (2, 4))], device=device)
        found = self.logits(branches.append(tokens, below, *edges.T))[:, 1:]
        paths = [[*prompt, *path] for prompt in prompts for path in ([0, last], [last])]
        gap = 0.0
        for path, logits in zip(paths, found.flatten(0, 1), strict=True):
            plain = self.model(torch.tensor([path], device=device), use_cache=False).logits[0, -1].float()
            size = (plain.abs().max() / _LOGITS).clamp(min=1.0)
            gap = max(gap, float(((logits.log_softmax(0) - plain.log_softmax(0)) / size).abs().max()))
        return gap
