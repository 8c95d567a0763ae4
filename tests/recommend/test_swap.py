"""A catalogue replaced under load: every answer is of exactly one version."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from sidrec.errors import ArtifactError, DataError
from sidrec.recommend import Answered, Asked, Batcher, LiveRecommender, Recommender
from sidrec.recommend.graphs import Graphs
from sidrec.recommend.static import Bucket
from sidrec.types import ItemCodes, Request
from tests.recommend.helpers import catalogue, prompts, tiny_qwen3, vocabulary
from tests.recommend.test_static import assert_same

torch.set_num_threads(1)
SIZES = (8, 6, 5, 4)
SWAPS = 300


def live(static: bool, items: int = 200) -> LiveRecommender:
    names = vocabulary(SIZES)
    return LiveRecommender(Recommender(tiny_qwen3(names.last_id + 1), names, catalogue(0, SIZES, items), static=static))


def test_a_swap_shares_what_belongs_to_the_model_and_leaves_the_old_version_as_it_is() -> None:
    one = live(static=True)
    before = one.current
    request = Request(prompts(0, (9,))[0])
    first = one.answer([Asked(request, 5, 5)])[0]
    after = one.swap(catalogue(9, SIZES, 60), version=2, carried="items of version 2")
    assert one.current is after and (before.version, after.version, after.carried) == (1, 2, "items of version 2")
    assert after.recommender.model is before.recommender.model
    assert after.recommender.__dict__["_engine"] is before.recommender.__dict__["_engine"]
    second, again = one.answer([Asked(request, 5, 5), Asked(request, 5, 5, before)])
    assert second.snapshot is after and second.ranked.eligible == 60
    assert again.snapshot is before and again.ranked.items.tolist() == first.ranked.items.tolist()


def test_warming_runs_each_kind_of_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[tuple[int, int, int]] = []
    run = Graphs.run

    def noting(self: Graphs[Bucket], bucket: Bucket, packed: Any) -> Any:
        met.append((bucket.rows, bucket.prompt, bucket.beams))
        return run(self, bucket, packed)

    monkeypatch.setattr(Graphs, "run", noting)
    live(static=True).warm((10, 100), 6, (1, 4))
    assert met == [(1, 64, 8), (4, 64, 8), (1, 128, 8), (4, 128, 8)]


def test_a_swap_that_cannot_be_made_changes_nothing() -> None:
    one = live(static=False)
    before = one.current
    with pytest.raises(DataError, match="version 1 of the catalogue cannot follow version 1"):
        one.swap(catalogue(9, SIZES, 60), version=1)
    with pytest.raises(ArtifactError, match="level sizes"):
        one.swap(catalogue(9, (4, 4), 10), version=2)
    assert one.current is before


@pytest.mark.parametrize("static", [True, False])
def test_no_answer_is_made_from_two_versions(static: bool) -> None:
    """8 threads ask while the catalogue is swapped hundreds of times between two that share no item's place.

    Every answer must be that of a recommender which only ever had the version the answer names.
    """
    one = live(static)
    versions = [one.current.recommender.codes, catalogue(5, SIZES, 230)]
    versions += [ItemCodes(versions[1].codes[::-1].copy(), SIZES)]  # the same semantic IDs for other items
    asked = [Request(prompt) for prompt in prompts(3, (3, 30, 9, 70))]
    expected = [one.current.recommender.over(codes).answer(asked, 6, 8) for codes in versions]
    answers: list[tuple[int, Answered]] = []
    done = threading.Event()
    with Batcher(one.answer, size=8, wait=0.0) as batcher, ThreadPoolExecutor(8) as threads:

        def ask(thread: int) -> None:
            turn = thread
            while not done.is_set():
                which = turn % len(asked)
                snapshot = one.current if turn % 3 == 0 else None  # some name the version that they were written for
                answer = batcher.submit(Asked(asked[which], 6, 8, snapshot), timeout=60).result(60)
                assert snapshot is None or answer.snapshot is snapshot
                answers.append((which, answer))
                turn += 1

        running = [threads.submit(ask, thread) for thread in range(8)]
        try:
            for version in range(2, SWAPS + 2):
                said = batcher.counts.batches
                while version % 3 == 2 and batcher.counts.batches == said:  # swaps come faster than answers here
                    assert not any(future.done() for future in running), "a thread ended early"
                    done.wait(0.0005)
                one.swap(versions[(version - 1) % 3], version)
        finally:
            done.set()
        for future in running:
            future.result(60)
    seen = {answer.snapshot.version for _, answer in answers}
    assert len(seen) > SWAPS / 5, f"only {len(seen)} versions answered"
    for which, answer in answers:
        assert_same([answer.ranked], [expected[(answer.snapshot.version - 1) % 3][which]])


def test_a_request_for_a_version_is_answered_from_it_and_not_from_the_next() -> None:
    """A mask counts the items of one version; of another it would be a mask of wrong length, or worse, of the right one."""
    one = live(static=True)
    old = one.current
    mask = np.arange(200) < 20
    one.swap(ItemCodes(old.recommender.codes.codes[::-1].copy(), SIZES), version=2)
    answer = one.answer([Asked(Request([1, 2], eligible=mask), 20, 20, old)])[0]
    assert sorted(answer.ranked.items.tolist()) == list(range(20)) and answer.snapshot is old
