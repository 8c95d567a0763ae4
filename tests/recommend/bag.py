"""A stand-in for a language model that runs thousands of requests a second through the real search.

Its hidden state is the squashed sum of what it has read, each token turned by where it stands: it depends on the whole
path and on its order, sees only the slots that the search names, and can be computed for all items by plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.recommend import Recommender
from sidrec.recommend.beam import Normaliser
from sidrec.recommend.branches import Branches
from sidrec.recommend.decoder import Decoder
from sidrec.types import ItemCodes
from tests.recommend.helpers import TEXT_IDS, vocabulary

WIDTH, PLACES = 6, 64


class BagModel(SimpleNamespace):
    """Weights of the stand-in, and the few things that the search asks of a model."""

    def __init__(self, rows: int, seed: int, spread: float) -> None:
        rng = np.random.default_rng(seed)
        super().__init__(
            tokens=torch.from_numpy(rng.normal(size=(rows, WIDTH)).astype(np.float32)),
            places=torch.from_numpy(rng.normal(size=(PLACES, WIDTH)).astype(np.float32)),
            head=torch.from_numpy((spread * rng.normal(size=(rows, WIDTH))).astype(np.float32)),
            device=torch.device("cpu"),
            config=SimpleNamespace(max_position_embeddings=PLACES),
        )

    def get_input_embeddings(self) -> Any:
        return SimpleNamespace(weight=self.tokens)


class BagBranches(Branches):
    """What was read stands in slots, as keys and values do."""

    def _prefill(self, ids_BP: Tensor, capacity: int) -> Tensor:
        self._slots = torch.full((len(ids_BP), capacity, WIDTH), float("nan"))
        model: Any = self.model
        read = model.tokens[ids_BP] * model.places[: ids_BP.shape[1]]
        self._slots[:, : ids_BP.shape[1]] = read
        return torch.tanh(read.masked_fill(~self.prompt_BP[..., None], 0).sum(1))

    def _extend(self, tokens_BT: Tensor, mask_BTS: Tensor, positions_BT: Tensor) -> Tensor:
        model: Any = self.model
        self._slots[:, self.used : self.used + tokens_BT.shape[1]] = model.tokens[tokens_BT] * model.places[positions_BT]
        read = self._slots[:, : mask_BTS.shape[2]]
        return torch.tanh(mask_BTS.float() @ read)

    def _keep_cached(self, rows: Tensor) -> None:
        self._slots = self._slots[rows]

    def _copy_cached(self, source: Self, rows: Tensor, capacity: int) -> None:
        self._slots = torch.full((len(rows), capacity, WIDTH), float("nan"))
        self._slots[:, : self.used] = source._slots[rows, : self.used]


class BagRecommender(Recommender):
    """A ``Recommender`` whose model is the stand-in."""

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.model, BagBranches, self.model.head, None)  # type: ignore[arg-type]


def bag_recommender(
    codes: ItemCodes, seed: int, normaliser: Normaliser = "valid", spread: float = 1.0, popularity: Any = None
) -> BagRecommender:
    names = vocabulary(codes.sizes)
    model: Any = BagModel(names.last_id + 1, seed, spread)
    return BagRecommender(model, names, codes, normaliser, popularity)


def bag_scores(recommender: Recommender, prompt: Sequence[int]) -> NDArray[np.float64]:
    """float64 ``(N,)``: every item's score, by arithmetic that knows no trie, no beam and no slots."""
    model: Any = recommender.model
    codes, names = recommender.codes, recommender.vocabulary
    tokens, places, head = (getattr(model, name).double().numpy() for name in ("tokens", "places", "head"))
    opened = [*prompt, names.start_id]
    read = np.tile((tokens[opened] * places[: len(opened)]).sum(0), (codes.n_items, 1))
    total = np.zeros(codes.n_items)
    for level, offset in enumerate(names.level_offsets.tolist()):
        logits = np.tanh(read) @ head.T
        code = codes.codes[:, level] + offset
        if recommender.normaliser == "valid":
            _, group = np.unique(codes.codes[:, :level], axis=0, return_inverse=True)
            possible = np.zeros((codes.n_items, len(head)), dtype=np.bool_)
            possible[group.reshape(-1), code] = True
            logits = np.where(possible[group.reshape(-1)], logits, -np.inf)
        total += logits[np.arange(codes.n_items), code] - np.logaddexp.reduce(logits, axis=1)
        read += tokens[code] * places[len(opened) + level]
    return total


def random_codes(rng: np.random.Generator, unique: bool, most: int = 60) -> ItemCodes:
    """A random catalogue of 1 to ``most`` items; without ``unique`` some share a semantic ID."""
    sizes = tuple(rng.integers(1, 7, rng.integers(1, 5)).tolist())
    places = int(np.prod(sizes))
    n = int(rng.integers(1, most + 1))
    chosen = rng.choice(places, min(n, places), replace=False) if unique else rng.integers(0, places, n)
    rows = np.stack(np.unravel_index(chosen, sizes), axis=1).astype(np.int32)
    return ItemCodes(rows, sizes, tie_level=False)


def random_prompts(rng: np.random.Generator, n: int) -> list[list[int]]:
    return [rng.integers(0, TEXT_IDS, length).tolist() for length in rng.integers(0, 8, n)]
