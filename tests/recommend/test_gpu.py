"""The recorded search on a GPU against the one that runs on the CPU. Skipped where there is no GPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from sidrec.recommend import Asked, Batcher, LiveRecommender, Recommender
from sidrec.recommend.beam import Normaliser
from sidrec.recommend.static import StaticSearch
from sidrec.types import Request
from tests.recommend.helpers import catalogue, prompts, tiny_qwen3, vocabulary
from tests.recommend.test_static import assert_same, random_requests

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
SIZES = (8, 6, 5, 4)
DEVICE = "cuda"


def model_on(device: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    model: Any = tiny_qwen3(vocabulary(SIZES).last_id + 1)
    return model.to(dtype).to(device)


def on_gpu(normaliser: Normaliser = "valid", items: int = 300, dtype: torch.dtype = torch.float32) -> Recommender:
    return Recommender(model_on(DEVICE, dtype), vocabulary(SIZES), catalogue(1, SIZES, items), normaliser)


@pytest.mark.parametrize("normaliser", ["valid", "full"])
def test_float32_equals_the_cpu(normaliser: Normaliser) -> None:
    plain = Recommender(model_on("cpu"), vocabulary(SIZES), catalogue(1, SIZES, 300), normaliser)
    recorded = on_gpu(normaliser)
    assert recorded.__dict__["_engine"] is not None, "a plain Qwen3 on a GPU is decoded by the static search by itself"
    rng = np.random.default_rng(0)
    for _ in range(5):  # the later ones replay what the first ones recorded
        requests = random_requests(rng, 300, 5)
        assert_same(recorded.answer(requests, 7, 9), plain.answer(requests, 7, 9))
    assert 0 < recorded.__dict__["_engine"].recorded <= 3


def test_the_search_that_is_not_recorded_runs_there_too() -> None:
    plain = Recommender(model_on("cpu"), vocabulary(SIZES), catalogue(1, SIZES, 300))
    eager = Recommender(model_on(DEVICE), vocabulary(SIZES), catalogue(1, SIZES, 300), static=False)
    requests = random_requests(np.random.default_rng(0), 300, 5)
    assert_same(eager.answer(requests, 7, 9), plain.answer(requests, 7, 9))


def test_bfloat16_is_near_the_cpu_in_float32() -> None:
    rounded: Any = model_on("cpu", torch.bfloat16)  # the same weights: only the arithmetic differs
    plain = Recommender(rounded.float(), vocabulary(SIZES), catalogue(1, SIZES, 300))
    recorded = on_gpu(dtype=torch.bfloat16)
    requests = [Request(prompt) for prompt in prompts(2, (5, 40, 90, 17))]
    shared = []
    for one, other in zip(recorded.answer(requests, 20, 40), plain.answer(requests, 20, 40), strict=True):
        shared.append(len(set(one.items.tolist()) & set(other.items.tolist())) / 20)
        np.testing.assert_allclose(one.scores, other.scores, atol=0.3)
    assert np.mean(shared) >= 0.8


def test_nothing_waits_for_the_device_inside_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    run = StaticSearch.run

    def strict(self: StaticSearch, *arguments: Any) -> Any:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            return run(self, *arguments)
        finally:
            torch.cuda.set_sync_debug_mode(before)

    monkeypatch.setattr(StaticSearch, "run", strict)
    recorded = on_gpu()
    assert len(recorded.answer([Request([1, 2, 3])], 5, 8)[0].items) == 5


def test_other_catalogues_are_searched_with_the_same_recordings() -> None:
    recorded, plain = on_gpu(), Recommender(model_on("cpu"), vocabulary(SIZES), catalogue(1, SIZES, 300))
    requests = [Request(prompt) for prompt in prompts(1, (3, 9))]
    recorded.answer(requests, 5, 6)
    engine = recorded.__dict__["_engine"]
    before = engine.recorded
    for n in (50, 310):
        other = catalogue(n, SIZES, n)
        assert_same(recorded.over(other).answer(requests, 5, 6), plain.over(other).answer(requests, 5, 6))
    assert engine.recorded == before
    big = catalogue(7, SIZES, 900)  # outgrows its buffers
    assert_same(recorded.over(big).answer(requests, 5, 6), plain.over(big).answer(requests, 5, 6))
    assert_same(recorded.answer(requests, 5, 6), plain.answer(requests, 5, 6))


def test_threads_take_turns_on_the_device() -> None:
    recorded, plain = on_gpu(), Recommender(model_on("cpu"), vocabulary(SIZES), catalogue(1, SIZES, 300))
    asked = [Asked(request, 5, 8) for request in random_requests(np.random.default_rng(3), 300, 64)]
    alone = plain.answer([one.request for one in asked], 5, 8)
    with Batcher(LiveRecommender(recorded).answer, size=8) as batcher, ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda one: batcher.submit(one, timeout=120).result(120), asked))
    assert_same([answer.ranked for answer in found], alone)
