"""Functions of fixed shape, recorded once as a CUDA graph and replayed; elsewhere simply called.

A beam step of a 1.7B model is some 500 kernels of a few microseconds: one by one from Python they take longer to start than
to run. A replayed graph starts them all with one call. Written to PyTorch's documentation; it has not run on a GPU yet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sidrec.log import warn

Key = TypeVar("Key", bound=Hashable)
_WARM = 2  # calls before recording: libraries choose kernels and take their workspace in them


@dataclass(frozen=True, slots=True)
class _Recording:
    """A graph with the memory that it reads and writes, and page-locked memory beside it, from which copies do not wait."""

    graph: Any
    input: Tensor
    output: Tensor
    sent: Tensor
    received: Tensor


class Graphs(Generic[Key]):
    """One recording a bucket, the least recently used one dropped beyond ``most``. Not for two threads at once.

    All share one pool of memory: only one runs at a time, and its output is copied out before the next.
    """

    def __init__(self, function: Callable[[Key, Tensor], Tensor], device: torch.device, most: int = 48) -> None:
        """``function`` takes a bucket and int32 ``(rows, columns)``, and never waits for the device."""
        self._function, self._device, self._most = function, device, most
        self._recorded: OrderedDict[Key, _Recording] = OrderedDict()
        self._can_record = True
        cuda = device.type == "cuda"
        self._pool: Any = torch.cuda.graph_pool_handle() if cuda else None
        self._aside: Any = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self._recorded)

    @torch.inference_mode()
    def run(self, bucket: Key, packed: NDArray[np.int32]) -> NDArray[np.int32]:
        """The function's result. The one wait for the device is at its end."""
        if self._device.type != "cuda":
            return self._function(bucket, torch.from_numpy(packed).to(self._device)).cpu().numpy()
        with torch.cuda.device(self._device):
            own = self._recording(bucket, packed)
            if own is None:
                return self._function(bucket, torch.from_numpy(packed).to(self._device)).cpu().numpy()
            own.sent.copy_(torch.from_numpy(packed))
            own.input.copy_(own.sent, non_blocking=True)
            own.graph.replay()
            own.received.copy_(own.output, non_blocking=True)
            torch.cuda.current_stream(self._device).synchronize()
            return own.received.numpy().copy()

    def _recording(self, bucket: Key, packed: NDArray[np.int32]) -> _Recording | None:
        """The bucket's recording, made now if need be; ``None``: it cannot be made, which is said once."""
        if bucket not in self._recorded and self._can_record:
            try:
                self._recorded[bucket] = self._record(bucket, packed)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._can_record = False
                reason = str(error).splitlines()[0]
                warn(f"no CUDA graph could be recorded ({reason}): requests run without one, and take longer")
            while len(self._recorded) > self._most:
                self._recorded.popitem(last=False)
        if bucket not in self._recorded:
            return None
        self._recorded.move_to_end(bucket)
        return self._recorded[bucket]

    def _record(self, bucket: Key, packed: NDArray[np.int32]) -> _Recording:
        sent = torch.from_numpy(packed).pin_memory()
        given = sent.to(self._device)
        self._aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._aside):  # the stream that records too: workspaces belong to one
            for _ in range(_WARM):
                shape = self._function(bucket, given).shape
        torch.cuda.current_stream(self._device).wait_stream(self._aside)
        output = torch.empty(shape, dtype=torch.int32, device=self._device)  # outside of the pool that recordings share
        graph = torch.cuda.CUDAGraph()
        # Other threads go on to copy and to allocate meanwhile; only this one is held to what a graph can hold.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._aside, capture_error_mode="thread_local"):
            output.copy_(self._function(bucket, given))
        return _Recording(graph, given, output, sent, torch.empty(shape, dtype=torch.int32).pin_memory())
