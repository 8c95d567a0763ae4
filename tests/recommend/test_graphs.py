"""Which recordings are kept, and what happens where none can be made; the recording itself wants a GPU (``test_gpu.py``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sidrec.recommend import graphs as module
from sidrec.recommend.graphs import Graphs

NOTHING = np.zeros((1, 1), dtype=np.int32)


def made(most: int) -> Graphs[str]:
    return Graphs(lambda bucket, packed: packed * len(bucket), torch.device("cpu"), most)


def test_without_a_gpu_the_function_is_called() -> None:
    assert made(2).run("abc", np.asarray([[1, 2]], dtype=np.int32)).tolist() == [[3, 6]]


def test_the_least_recently_used_recording_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = made(2)
    recorded: list[str] = []
    monkeypatch.setattr(graphs, "_record", lambda bucket, packed: recorded.append(bucket) or bucket)
    for bucket in ("a", "b", "a", "c", "a", "b"):
        assert graphs._recording(bucket, NOTHING) == bucket  # type: ignore[comparison-overlap]
    assert recorded == ["a", "b", "c", "b"] and len(graphs) == 2


def test_where_nothing_can_be_recorded_it_is_said_once_and_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = made(2)
    said: list[str] = []
    tried: list[str] = []

    def fails(bucket: str, _: Any) -> None:
        tried.append(bucket)
        raise RuntimeError("operation not permitted when stream is capturing\nand many lines more")

    monkeypatch.setattr(graphs, "_record", fails)
    monkeypatch.setattr(module, "warn", said.append)
    assert graphs._recording("a", NOTHING) is None and graphs._recording("b", NOTHING) is None
    assert tried == ["a"] and len(said) == 1 and "(operation not permitted when stream is capturing)" in said[0]


def test_want_of_memory_is_no_reason_to_go_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = made(2)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(graphs, "_record", full)
    with pytest.raises(torch.OutOfMemoryError):
        graphs._recording("a", NOTHING)
