"""The search of fixed shapes beside a list of every item's score: its answers, and what it certifies beyond the other one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sidrec.recommend import Recommender
from sidrec.recommend.beam import SLACK, Normaliser
from sidrec.types import ItemCodes, Request
from tests.recommend.helpers import prompts, scores, tiny_qwen3, vocabulary

torch.set_num_threads(1)


def certified(seed: int, normaliser: Normaliser) -> tuple[int, int, int]:
    """How many answers of one random catalogue were certified, how many of them by this search alone, and how many were not.

    Every semantic ID is shared by several items, and the beams are few. A certified answer must hold the K best scores there
    are among the eligible items, whichever of equally good ones.
    """
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(1, 6, rng.integers(1, 5)).tolist())
    distinct = np.stack([rng.integers(0, size, 25) for size in sizes], axis=1).astype(np.int32)
    codes = ItemCodes(distinct[rng.integers(0, 25, int(rng.integers(2, 60)))], sizes, tie_level=False)
    names = vocabulary(sizes)
    model = tiny_qwen3(names.last_id + 1, seed % 3)
    if seed % 4 < 2:  # the last level's codes are equally good, all of them: the other search prunes one for nothing
        with torch.no_grad():
            model.get_input_embeddings().weight[names.level_offsets[-1] :] = 0.1  # type: ignore[index, operator]
    popularity = rng.integers(0, 3, codes.n_items) if seed % 2 else None
    static, plain = (Recommender(model, names, codes, normaliser, popularity, static=which) for which in (True, False))
    n = codes.n_items
    masks = [None, rng.random(n) < 0.6, rng.random(n) < 0.2]
    requests = [
        Request(prompt, rng.integers(0, n, rng.integers(0, 1 + n // 2)).tolist(), masks[number % 3])
        for number, prompt in enumerate(prompts(seed, rng.integers(0, 12, 6).tolist()))
    ]
    k = int(rng.integers(1, 7))
    proven = alone = open_ = 0
    pairs = zip(static.answer(requests, k, k), plain.answer(requests, k, k), strict=True)
    for request, (found, other) in zip(requests, pairs, strict=True):
        eligible = np.ones(n, dtype=np.bool_) if request.eligible is None else request.eligible.copy()
        eligible[list(request.exclude)] = False
        every = scores(model, codes, request.prompt, normaliser)
        best = np.sort(every[eligible])[::-1][:k]
        assert found.eligible == eligible.sum() and len(found.items) == len(best)
        assert eligible[found.items].all() and len(set(found.items.tolist())) == len(best)
        np.testing.assert_allclose(found.scores, every[found.items], atol=1e-4)
        if found.exact:
            # Another item may stand there only where it is as good up to the noise of two ways to add.
            np.testing.assert_allclose(every[found.items], best, atol=SLACK)
        proven, alone, open_ = proven + found.exact, alone + (found.exact and not other.exact), open_ + (not found.exact)
    return proven, alone, open_


@pytest.mark.parametrize("normaliser", ["valid", "full"])
def test_what_it_certifies_is_the_best_there_is(normaliser: Normaliser) -> None:
    proven, alone, open_ = np.sum([certified(seed, normaliser) for seed in range(20)], axis=0).tolist()
    assert proven >= 20 and alone >= 1 and open_ >= 5, (proven, alone, open_)  # else nothing was tested


@pytest.mark.slow
@pytest.mark.parametrize("normaliser", ["valid", "full"])
def test_what_it_certifies_is_the_best_there_is_many_times(normaliser: Normaliser) -> None:
    proven, alone, open_ = np.sum([certified(seed, normaliser) for seed in range(100, 500)], axis=0).tolist()
    assert proven >= 400 and alone >= 20 and open_ >= 100, (proven, alone, open_)
