"""The beam search against scoring every item by plain forwards, and against transformers' own beam search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from sidrec.recommend import Recommender
from sidrec.recommend.beam import NORMALISERS, Normaliser
from sidrec.types import ItemCodes, Ranked
from tests.recommend.helpers import catalogue, prompts, scores, tiny_of, tiny_qwen3, vocabulary

torch.set_num_threads(1)


def same_as(answer: Ranked, expected: np.ndarray, allowed: np.ndarray, k: int) -> None:
    """The ``k`` best of the allowed items; items whose scores differ by float noise may stand in either order."""
    best = -np.sort(-expected[allowed])[:k]
    assert len(set(answer.items.tolist())) == len(answer.items) == len(best)
    assert allowed[answer.items].all()
    np.testing.assert_allclose(answer.scores, expected[answer.items], atol=1e-4)
    np.testing.assert_allclose(answer.scores, best, atol=1e-4)
    assert (np.diff(answer.scores) <= 0).all()
    assert answer.eligible == allowed.sum()


def random_case(seed: int) -> tuple[PreTrainedModel, ItemCodes, np.random.Generator]:
    """In every fourth case some items share a semantic ID."""
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(1, 7, rng.integers(1, 6)).tolist())
    codes = catalogue(seed, sizes, int(rng.integers(1, min(40, np.prod(sizes)) + 1)))
    if seed % 4 == 3:
        rows = codes.codes[rng.integers(0, codes.n_items, 2 * codes.n_items)]
        codes = ItemCodes(rows, sizes, tie_level=False)
    return tiny_qwen3(vocabulary(sizes).last_id + 1 + seed % 3, seed, tied=seed % 2 == 0), codes, rng


@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(0, 200, 20)], ids=str)
def test_as_many_beams_as_items_equal_exhaustive_scoring(seeds: range) -> None:
    for seed in seeds:
        model, codes, rng = random_case(seed)
        normaliser = NORMALISERS[seed // 2 % 2]
        recommender = Recommender(model, vocabulary(codes.sizes), codes, normaliser)
        asked = prompts(seed, rng.integers(0, 20, 3).tolist())
        everything = np.ones(codes.n_items, dtype=np.bool_)
        for prompt, answer in zip(asked, recommender.rank(asked, codes.n_items, 1), strict=True):
            same_as(answer, scores(model, codes, prompt, normaliser), everything, codes.n_items)
            assert answer.exact


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("seed", range(30, 50))
def test_filters_equal_filtering_the_exhaustive_scores(seed: int, normaliser: Normaliser) -> None:
    model, codes, rng = random_case(seed)
    recommender = Recommender(model, vocabulary(codes.sizes), codes, normaliser)
    n = codes.n_items
    asked = prompts(seed, rng.integers(1, 20, 4).tolist())
    eligible = rng.random(n) < 0.7
    exclude = [rng.integers(0, n, rng.integers(0, n + 1)).tolist() for _ in asked]
    answers = recommender.rank(asked, n, n, exclude=exclude, eligible=eligible)
    for prompt, left_out, answer in zip(asked, exclude, answers, strict=True):
        allowed = eligible & ~np.isin(np.arange(n), left_out)
        same_as(answer, scores(model, codes, prompt, normaliser), allowed, n)


@pytest.mark.parametrize("seed", range(50, 80))
def test_k_items_however_narrow_the_beam_and_tight_the_filter(seed: int) -> None:
    model, codes, rng = random_case(seed)
    recommender = Recommender(model, vocabulary(codes.sizes), codes)
    n, k = codes.n_items, int(rng.integers(1, 6))
    asked = prompts(seed, rng.integers(1, 20, 6).tolist())
    eligible = rng.random(n) < rng.random()
    exclude = [rng.integers(0, n, rng.integers(0, n + 1)).tolist() for _ in asked]
    answers = recommender.rank(asked, k, k, exclude=exclude, eligible=eligible, batch_size=4)
    for left_out, answer in zip(exclude, answers, strict=True):
        allowed = eligible & ~np.isin(np.arange(n), left_out)
        assert answer.eligible == allowed.sum()
        assert len(answer.items) == min(k, answer.eligible)
        assert len(set(answer.items.tolist())) == len(answer.items)
        assert allowed[answer.items].all()


def valid_next(codes: ItemCodes, prompt_length: int) -> Callable[[int, torch.Tensor], list[int]]:
    """The Python prefix map of published systems."""
    children: dict[tuple[int, ...], set[int]] = {}
    for row in vocabulary(codes.sizes).ids(codes.codes)[:, 1:-1].tolist():
        for level in range(codes.levels):
            children.setdefault(tuple(row[:level]), set()).add(row[level])
    lists = {prefix: sorted(tokens) for prefix, tokens in children.items()}
    return lambda _, ids: lists[tuple(ids[prompt_length:].tolist())]


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("k", [10, 50])
@pytest.mark.parametrize("seed", range(3))
def test_token_for_token_what_generate_finds(seed: int, k: int, normaliser: Normaliser) -> None:
    codes = catalogue(seed, (64, 8, 6, 4), 600)  # a wide first level: generate has no dead beams to fill up with
    names = vocabulary(codes.sizes)
    model = tiny_qwen3(names.last_id + 1, seed)
    recommender = Recommender(model, names, codes, normaliser)
    for prompt in prompts(seed, (7, 20)):
        opened = torch.tensor([[*prompt, names.start_id]])
        config = GenerationConfig(
            num_beams=k, num_return_sequences=k, max_new_tokens=codes.levels, do_sample=False, length_penalty=0.0,
            pad_token_id=0, return_dict_in_generate=True, output_scores=True, renormalize_logits=normaliser == "valid",
        )  # fmt: skip
        allowed = valid_next(codes, opened.shape[1])
        hard = {"attention_mask": torch.ones_like(opened), "prefix_allowed_tokens_fn": allowed}
        found = model.generate(opened, generation_config=config, **hard)
        answer = recommender.rank([prompt], k, k)[0]
        expected = names.ids(codes.codes[answer.items])[:, 1:-1].tolist()
        assert found.sequences[:, opened.shape[1] :].tolist() == expected
        np.testing.assert_allclose(answer.scores, found.sequences_scores.numpy(), atol=1e-4)


FAMILIES = ["llama", "qwen2", "gpt2", "gpt_neox", "qwen3 with biases", "qwen3, angles by length"]


@pytest.mark.parametrize("family", FAMILIES)
def test_another_family_of_models(family: str) -> None:
    codes = catalogue(3, (5, 4, 3), 25)
    names = vocabulary(codes.sizes)
    model = tiny_of(family, names.last_id + 1)
    for normaliser in NORMALISERS:
        recommender = Recommender(model, names, codes, normaliser)
        asked = prompts(3, (12, 5))
        for prompt, answer in zip(asked, recommender.rank(asked, 25, 25), strict=True):
            same_as(answer, scores(model, codes, prompt, normaliser), np.ones(25, dtype=np.bool_), 25)


def test_the_probabilities_over_the_valid_codes_sum_to_one() -> None:
    codes = catalogue(0, (6, 5, 4, 3), 50)
    names = vocabulary(codes.sizes)
    answer = Recommender(tiny_qwen3(names.last_id + 1), names, codes).rank(prompts(0, (9,)), 50, 50)[0]
    assert np.exp(answer.scores.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-4)


def test_filters_do_not_change_a_score() -> None:
    codes = catalogue(0, (4, 4, 3), 30)
    names = vocabulary(codes.sizes)
    recommender = Recommender(tiny_qwen3(names.last_id + 1), names, codes)
    asked = prompts(0, (9,))
    everything = recommender.rank(asked, 30, 30)[0]
    some = recommender.rank(asked, 30, 30, exclude=[list(range(20))])[0]
    score = dict(zip(everything.items.tolist(), everything.scores.tolist(), strict=True))
    assert sorted(some.items.tolist()) == list(range(20, 30))
    np.testing.assert_allclose(some.scores, [score[item] for item in some.items.tolist()], atol=1e-5)
