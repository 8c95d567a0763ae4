"""Thousands of random requests through the real search: certificates, caps, filters and shared semantic IDs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sidrec.types import ItemCodes, Ranked, Request
from tests.recommend.bag import bag_recommender, bag_scores, random_codes, random_prompts

torch.set_num_threads(1)
ATOL = 2e-4  # sums of a few logits in float32 against float64


def random_requests(rng: np.random.Generator, codes: ItemCodes, n: int, capped: bool = False) -> list[Request]:
    """Masks (some shared, some none), exclusions (unsorted, repeated) and, if asked for, caps."""
    items = codes.n_items
    masks = [None, *(rng.random(items) < rng.random() for _ in range(3))]
    requests = []
    for prompt in random_prompts(rng, n):
        exclude = rng.integers(0, items, rng.integers(0, items + 1)).tolist() if rng.random() < 0.5 else []
        depths = rng.integers(1, codes.levels + 1, rng.integers(0, 3)).tolist() if capped else []
        caps = {int(depth): int(rng.integers(1, 4)) for depth in depths}
        requests.append(Request(prompt, exclude, masks[int(rng.integers(len(masks)))], caps))
    return requests


def allowed_by(request: Request, n: int) -> NDArray[np.bool_]:
    allowed = np.ones(n, dtype=np.bool_) if request.eligible is None else request.eligible.copy()
    allowed[list(request.exclude)] = False
    return allowed


def best_under_caps(
    codes: ItemCodes, scores: NDArray[np.float64], allowed: NDArray[np.bool_], caps: Mapping[int, int], k: int
) -> list[int]:
    """The best item that still has room, again and again."""
    taken: dict[tuple[int, ...], int] = {}
    chosen: list[int] = []
    for item in np.lexsort((np.arange(len(scores)), -scores)).tolist():
        prefixes = {depth: tuple(codes.codes[item, :depth].tolist()) for depth in caps}
        if allowed[item] and len(chosen) < k and all(taken.get(prefixes[depth], 0) < caps[depth] for depth in caps):
            chosen.append(item)
            for prefix in prefixes.values():
                taken[prefix] = taken.get(prefix, 0) + 1
    return chosen


def check(codes: ItemCodes, request: Request, answer: Ranked, scores: NDArray[np.float64], k: int) -> None:
    """No violation, the full K, right scores, and a certificate only where the answer is the best there is."""
    allowed = allowed_by(request, codes.n_items)
    best = best_under_caps(codes, scores, allowed, request.caps, k)
    items = answer.items.tolist()
    assert answer.eligible == allowed.sum()
    assert allowed[items].all()
    assert len(set(items)) == len(items) == len(best)
    for depth, most in request.caps.items():
        assert np.unique(codes.codes[items, :depth], axis=0, return_counts=True)[1].max(initial=0) <= most
    np.testing.assert_allclose(answer.scores, scores[items], atol=ATOL)
    np.testing.assert_allclose(answer.levels.sum(1), answer.scores, atol=ATOL)
    assert answer.levels.shape == (len(items), codes.levels)
    assert (np.diff(answer.scores) <= 0).all()
    if answer.exact:
        np.testing.assert_allclose(np.sort(answer.scores)[::-1], np.sort(scores[best])[::-1], atol=ATOL)


def run_cases(seeds: range, requests: int, capped: bool) -> tuple[int, int]:
    """Random catalogues with ``requests`` requests each; how many answers were certified, of how many."""
    certified = total = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        codes = random_codes(rng, unique=bool(rng.random() < 0.5))
        recommender = bag_recommender(codes, seed, "valid" if seed % 2 else "full", spread=float(rng.uniform(0, 3)))
        asked = random_requests(rng, codes, requests, capped)
        k, beams = int(rng.integers(1, 9)), int(rng.integers(1, 17))
        answers = recommender.answer(asked, k, beams, batch_size=64)
        for request, answer in zip(asked, answers, strict=True):
            check(codes, request, answer, bag_scores(recommender, request.prompt), k)
            assert answer.beams == max(k, beams)
        certified += sum(answer.exact for answer in answers)
        total += len(answers)
    return certified, total


@pytest.mark.parametrize("capped", [False, True])
def test_answers_keep_their_promises(capped: bool) -> None:
    certified, total = run_cases(range(60), 12, capped)
    assert 0.2 * total < certified < total  # neither never nor always


@pytest.mark.slow
@pytest.mark.parametrize("capped", [False, True])
def test_the_certificate_is_never_wrong_in_ten_thousand_cases(capped: bool) -> None:
    certified, total = run_cases(range(1000, 1500), 21, capped)
    assert total > 10_000
    assert certified > 2_000


def run_filters(seeds: range, requests: int) -> None:
    """No violation, and the full K or all that is eligible."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        codes = random_codes(rng, unique=bool(seed % 2), most=60 if seed % 4 else 2_000)
        recommender = bag_recommender(codes, seed, "valid" if seed % 3 else "full")
        asked = random_requests(rng, codes, requests)
        k = int(rng.integers(1, 12))
        for request, answer in zip(asked, recommender.answer(asked, k, k, batch_size=500), strict=True):
            allowed = allowed_by(request, codes.n_items)
            items = answer.items.tolist()
            assert answer.eligible == allowed.sum()
            assert allowed[items].all()
            assert len(set(items)) == len(items) == min(k, answer.eligible)


def test_filters_are_never_violated_and_never_cost_an_item() -> None:
    run_filters(range(10), 200)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_nor_in_a_million_requests(part: int) -> None:
    run_filters(range(100 * part + 1000, 100 * part + 1100), 1_000)


@pytest.mark.parametrize("seed", range(12))
def test_exact_widens_the_beam_until_certified_or_says_so(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, unique=seed % 2 == 0, most=200)
    recommender = bag_recommender(codes, seed)
    asked = random_requests(rng, codes, 20, capped=True)
    for request, answer in zip(asked, recommender.answer(asked, 5, 5, exact=True), strict=True):
        assert answer.exact
        check(codes, request, answer, bag_scores(recommender, request.prompt), 5)
    narrow = recommender.answer(asked, 5, 5)
    limited = recommender.answer(asked, 5, 5, exact=True, max_beams=6)
    for request, before, answer in zip(asked, narrow, limited, strict=True):
        assert answer.beams == (5 if before.exact else 6)
        check(codes, request, answer, bag_scores(recommender, request.prompt), 5)


def test_items_that_share_a_semantic_id_stand_by_popularity_then_index() -> None:
    codes = ItemCodes(np.asarray([[0, 1], [1, 0], [0, 1], [0, 1], [1, 0]], dtype=np.int32), (2, 2), tie_level=False)
    plain, ranked = (bag_recommender(codes, 0, popularity=p) for p in (None, np.asarray([3, 1, 9, 9, 2])))
    for recommender, orders in ((plain, ([0, 2, 3], [1, 4])), (ranked, ([2, 3, 0], [4, 1]))):
        answer = recommender.answer([Request([1, 2])], 5, 5)[0]
        first, second = orders if answer.items[0] in orders[0] else orders[::-1]
        assert answer.items.tolist() == [*first, *second]
        assert len(set(answer.scores[: len(first)].tolist())) == 1
        some = recommender.answer([Request([1, 2], exclude=[2, 4])], 5, 1)[0]
        assert some.items.tolist() == [item for item in answer.items.tolist() if item not in (2, 4)]
        one = recommender.answer([Request([1, 2], caps={2: 1})], 5, 5)[0]
        assert one.items.tolist() == [first[0], second[0]]


def test_the_tree_of_a_request_shows_what_was_kept_pruned_and_filtered() -> None:
    codes = ItemCodes(np.asarray([[0, 0], [0, 1], [1, 0], [2, 0], [2, 1]], dtype=np.int32), (3, 2))
    recommender = bag_recommender(codes, 3)
    request = Request([4, 5], exclude=[2])
    explanation = recommender.explain(request, 1, 1)
    first, second = explanation.levels
    assert first.codes.tolist() == [[0], [1], [2]]
    assert first.parent.tolist() == [-1] * 3
    assert first.eligible.tolist() == [2, 0, 2]
    assert first.kept.sum() == 1
    kept = int(np.flatnonzero(first.kept)[0])
    assert second.codes.tolist() == [[kept, 0], [kept, 1]]
    assert second.parent.tolist() == [kept, kept]
    np.testing.assert_allclose(second.score, first.score[kept] + second.log_prob)
    won = int(np.flatnonzero(second.kept)[0])
    assert explanation.ranked.items.tolist() == [np.flatnonzero((codes.codes == second.codes[won]).all(1))[0]]
    assert explanation.ranked.levels.tolist() == [[first.log_prob[kept], second.log_prob[won]]]
    nothing = recommender.explain(Request([4, 5], exclude=range(5)), 1, 1)
    assert (nothing.levels, nothing.ranked.eligible) == ((), 0)
