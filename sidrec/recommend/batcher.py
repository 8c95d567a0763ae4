"""Concurrent requests gathered into batches for the decoder.

Every request takes the same number of steps (one prefill, levels - 1 beam steps), so a batch is done all at once: nobody
waits for a longer neighbour, and no batch needs to take in or let go of requests on the way, as engines for text must.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread
from types import TracebackType
from typing import Generic, TypeVar

from sidrec.errors import BusyError, ConfigError

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Counts:
    """What has happened so far. ``dropped``: cancelled or too late, and so never decoded; ``refused``: never queued."""

    waiting: int
    answered: int
    failed: int
    dropped: int
    refused: int
    batches: int


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Q, A]):
    asked: Q
    future: Future[A]
    came: float
    deadline: float


class Batcher(Generic[Q, A]):
    """A queue in front of a function that answers several requests at once; the function runs in one thread of its own.

    The first request waits at most ``wait`` seconds for company. While a batch is decoded the next ones gather anyway, so
    under load nobody waits for the clock. Safe for any number of threads; in ``async`` code use ``ask``.

    >>> with Batcher(lambda numbers: [2 * n for n in numbers], size=8) as batcher:
    ...     [future.result() for future in [batcher.submit(n) for n in range(3)]]
    [0, 2, 4]
    """

    def __init__(
        self, answer: Callable[[Sequence[Q]], Sequence[A]], size: int = 16, wait: float = 0.002, queue: int = 256
    ) -> None:
        """``size``: requests a batch at most; ``wait``: seconds; ``queue``: requests that may wait at most."""
        if size < 1 or queue < 1 or wait < 0:
            raise ConfigError(f"size and queue are at least 1 and wait at least 0, found {size}, {queue} and {wait}")
        self._answer, self._size, self._wait, self._most = answer, size, wait, queue
        self._queue: deque[_Waiting[Q, A]] = deque()
        self._changed = Condition()
        self._closing = False
        self._answered = self._failed = self._dropped = self._refused = self._batches = 0
        self._worker = Thread(target=self._work, name="sidrec-batcher", daemon=True)
        self._worker.start()

    def submit(self, asked: Q, timeout: float = 10.0) -> Future[A]:
        """Queue a request. Its future can be cancelled until it is decoded.

        ``timeout``: seconds that it may wait for the decoder; what is later is dropped with a ``BusyError``.

        Raises:
            BusyError: the queue is full, or the batcher was closed.
        """
        now = time.monotonic()
        with self._changed:
            if self._closing or len(self._queue) >= self._most:
                self._refused += 1
                raise BusyError(
                    "the recommender is shutting down: ask the one that takes its place"
                    if self._closing
                    else f"{self._most} requests are waiting already: try again in a moment"
                )
            future: Future[A] = Future()
            self._queue.append(_Waiting(asked, future, now, now + timeout))
            self._changed.notify_all()
        return future

    async def ask(self, asked: Q, timeout: float = 10.0) -> A:
        """``submit`` for ``async`` code; a task that is cancelled takes its request out of the queue."""
        return await asyncio.wrap_future(self.submit(asked, timeout))

    @property
    def counts(self) -> Counts:
        """What has happened so far."""
        with self._changed:
            return Counts(len(self._queue), self._answered, self._failed, self._dropped, self._refused, self._batches)

    def close(self, answer_waiting: bool = True) -> None:
        """Take no more requests, answer those that wait (or cancel them), and end the thread. May be called twice."""
        with self._changed:
            self._closing = True
            if not answer_waiting:
                self._dropped += sum(waiting.future.cancel() for waiting in self._queue)
                self._queue.clear()
            self._changed.notify_all()
        self._worker.join()

    def __enter__(self) -> Batcher[Q, A]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(answer_waiting=kind is None)

    def _work(self) -> None:
        while taken := self._next():
            batch = [waiting for waiting in taken if self._is_wanted(waiting)]
            if batch:
                self._decode(batch)
            del taken, batch  # a thread that sleeps must not keep the last requests alive

    def _next(self) -> list[_Waiting[Q, A]]:
        """The requests whose turn it is; none: closed, and all are answered."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            while self._queue and len(self._queue) < self._size and not self._closing:
                left = self._queue[0].came + self._wait - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return [self._queue.popleft() for _ in range(min(self._size, len(self._queue)))]

    def _is_wanted(self, waiting: _Waiting[Q, A]) -> bool:
        waited = time.monotonic() - waiting.came
        cancelled = not waiting.future.set_running_or_notify_cancel()
        late = not cancelled and waiting.came + waited > waiting.deadline
        if late:
            waiting.future.set_exception(
                BusyError(f"the request waited {waited:.1f} s for its turn and was dropped: try again")
            )
        if cancelled or late:
            with self._changed:
                self._dropped += 1
        return not (cancelled or late)

    def _decode(self, batch: Sequence[_Waiting[Q, A]]) -> None:
        """Answer a batch. When it fails, its halves are tried: one bad request takes no other with it."""
        with self._changed:
            self._batches += 1
        try:
            answers = self._answer([waiting.asked for waiting in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} requests got {len(answers)} answers")
        except BaseException as error:  # whatever it is belongs to who asked: nobody else hears of it
            if len(batch) > 1:
                self._decode(batch[: len(batch) // 2])
                self._decode(batch[len(batch) // 2 :])
                return
            with self._changed:
                self._failed += 1
            batch[0].future.set_exception(error)
            return
        with self._changed:
            self._answered += len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.future.set_result(answer)
