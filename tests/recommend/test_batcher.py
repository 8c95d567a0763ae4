"""Concurrent requests: each gets its own answer, whatever its neighbours are and do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait

import numpy as np
import pytest
import torch

from sidrec.errors import BusyError, ConfigError, DataError
from sidrec.recommend import Asked, Batcher, LiveRecommender, Recommender
from sidrec.types import Request
from tests.recommend.helpers import catalogue, prompts, tiny_qwen3, vocabulary
from tests.recommend.test_static import assert_same, random_requests

torch.set_num_threads(1)
SIZES = (8, 6, 5, 4)


class Held:
    """An answering function that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.go, self.busy = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.busy.set()
        assert self.go.wait(10)
        if 13 in numbers:
            raise DataError("13 cannot be answered")
        return [2 * n for n in numbers]


@pytest.fixture
def held() -> Held:
    return Held()


def occupied(batcher: Batcher[int, int], held: Held) -> Future[int]:
    """A request that is being decoded; those that come now gather behind it."""
    first = batcher.submit(0)
    assert held.busy.wait(10)
    return first


def test_requests_gather_while_a_batch_is_decoded(held: Held) -> None:
    with Batcher(held, size=3, wait=0.0) as batcher:
        occupied(batcher, held)
        futures = [batcher.submit(n) for n in range(1, 6)]
        held.go.set()
        assert [future.result(10) for future in futures] == [2, 4, 6, 8, 10]
    assert held.batches == [[0], [1, 2, 3], [4, 5]]
    assert (batcher.counts.answered, batcher.counts.batches, batcher.counts.waiting) == (6, 3, 0)


def test_a_request_waits_for_company_only_so_long(held: Held) -> None:
    held.go.set()
    with Batcher(held, size=2, wait=60.0) as batcher:
        pair = [batcher.submit(n) for n in (1, 2)]  # full: no waiting
        assert [future.result(10) for future in pair] == [2, 4]
    with Batcher(held, size=9, wait=0.05) as batcher:
        began = time.monotonic()
        assert batcher.submit(3).result(10) == 6
        assert time.monotonic() - began >= 0.05


def test_a_bad_request_takes_no_other_with_it(held: Held) -> None:
    with Batcher(held, size=8, wait=0.0) as batcher:
        occupied(batcher, held)
        futures = {n: batcher.submit(n) for n in (1, 13, 2, 3, 5)}
        held.go.set()
        with pytest.raises(DataError, match="13 cannot"):
            futures.pop(13).result(10)
        assert [future.result(10) for future in futures.values()] == [2, 4, 6, 10]
    assert batcher.counts.failed == 1


def test_a_wrong_number_of_answers_is_an_error_and_not_a_shift() -> None:
    with Batcher(lambda numbers: [1] * (len(numbers) + 1)) as batcher, pytest.raises(RuntimeError, match="1 requests got 2"):
        batcher.submit(1).result(10)


def test_cancelled_and_late_requests_are_never_decoded(held: Held) -> None:
    with Batcher(held, size=8, wait=0.0) as batcher:
        first = occupied(batcher, held)
        gone, late, kept = batcher.submit(1), batcher.submit(2, timeout=0.01), batcher.submit(3)
        assert gone.cancel() and not first.cancel()
        time.sleep(0.02)
        held.go.set()
        assert kept.result(10) == 6
        with pytest.raises(BusyError, match=r"waited 0\.0 s for its turn and was dropped"):
            late.result(10)
        with pytest.raises(CancelledError):
            gone.result(10)
    assert held.batches == [[0], [3]] and batcher.counts.dropped == 2


def test_a_full_queue_refuses_and_recovers(held: Held) -> None:
    with Batcher(held, size=2, wait=0.0, queue=3) as batcher:
        occupied(batcher, held)
        futures = [batcher.submit(n) for n in range(3)]
        with pytest.raises(BusyError, match="3 requests are waiting already: try again"):
            batcher.submit(4)
        held.go.set()
        wait(futures, 10)
        assert batcher.submit(5).result(10) == 10
    assert batcher.counts.refused == 1


@pytest.mark.parametrize("answer_waiting", [True, False])
def test_closing_answers_or_cancels_what_waits(held: Held, answer_waiting: bool) -> None:
    batcher = Batcher(held, size=2, wait=0.0)
    first = occupied(batcher, held)
    futures = [batcher.submit(n) for n in range(1, 6)]
    closing = threading.Thread(target=batcher.close, args=(answer_waiting,))
    closing.start()
    time.sleep(0.01)
    held.go.set()
    closing.join(10)
    assert first.result(0) == 0
    assert [None if future.cancelled() else future.result(0) for future in futures] == (
        [2, 4, 6, 8, 10] if answer_waiting else [None] * 5
    )
    with pytest.raises(BusyError, match="shutting down"):
        batcher.submit(1)
    batcher.close()


def test_from_async_code_and_a_task_that_is_cancelled(held: Held) -> None:
    async def talk(batcher: Batcher[int, int]) -> list[int]:
        first = asyncio.create_task(batcher.ask(0))
        while not held.busy.is_set():
            await asyncio.sleep(0.001)
        tasks = [asyncio.create_task(batcher.ask(n)) for n in (1, 2, 3)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        await asyncio.sleep(0)
        held.go.set()
        return [await first, await tasks[0], await tasks[2]]

    with Batcher(held, wait=0.0) as batcher:
        assert asyncio.run(talk(batcher)) == [0, 2, 6]
    assert held.batches == [[0], [1, 3]]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Batcher(len, size=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("static", [True, False])
def test_many_threads_get_what_they_would_get_alone(static: bool) -> None:
    """Different lengths, filters, k and beams in one batch."""
    codes = catalogue(1, SIZES, 300)
    names = vocabulary(SIZES)
    recommender = Recommender(tiny_qwen3(names.last_id + 1), names, codes, static=static)
    rng = np.random.default_rng(0)
    widths = [(1, 5), (5, 5), (9, 30), (3, 8), (20, 1)]
    asked = [Asked(request, *widths[i % 5]) for i, request in enumerate(random_requests(rng, 300, 64))]
    alone = [recommender.answer([one.request], one.k, one.beams)[0] for one in asked]
    with Batcher(LiveRecommender(recommender).answer, size=16, wait=0.005) as batcher, ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda one: batcher.submit(one, timeout=60).result(60), asked))
    assert_same([answer.ranked for answer in found], alone)
    assert batcher.counts.answered == 64 and batcher.counts.batches < 64


def test_a_request_that_cannot_be_read_fails_alone() -> None:
    codes = catalogue(1, SIZES, 30)
    names = vocabulary(SIZES)
    recommender = Recommender(tiny_qwen3(names.last_id + 1), names, codes, static=True)
    requests = [Request(prompt) for prompt in prompts(0, (3, 9, 5))] + [Request([9999]), Request([1], exclude=[30])]
    requests.append(Request([1], exclude=range(30)))  # nothing is left for it
    with Batcher(LiveRecommender(recommender).answer, wait=0.05) as batcher:
        futures = [batcher.submit(Asked(request, 3, 3)) for request in requests]
        wait(futures, 60)
    messages = [str(future.exception() or "") for future in futures]
    assert messages[:3] == ["", "", ""] and "token ids outside" in messages[3] and "excludes item 30" in messages[4]
    assert [len(futures[i].result().ranked.items) for i in (0, 1, 2, 5)] == [3, 3, 3, 0]
