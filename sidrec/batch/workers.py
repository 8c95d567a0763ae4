"""The same work for many numbers: in this process, or in several beside it.

Work is opened once a process (a model is loaded) and then called with one number after another. It leaves what it makes in
files; each number comes back when it is done, in whichever order.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from typing import Any

from sidrec import errors
from sidrec.errors import ArtifactError, SidrecError

Work = Callable[[int], None]
Opener = Callable[[int], Work]
"""From the worker's own number to its work. It is sent to new processes: a function or class of a module, or a partial."""

# One thread each: two workers of two threads on two cores wait for each other, and sums split over threads round otherwise.
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


def in_this_process(opener: Opener, tasks: Sequence[int]) -> Iterator[int]:
    """One after another, right here."""
    work = opener(0)
    for task in tasks:
        work(task)
        yield task


def in_processes(opener: Opener, tasks: Sequence[int], count: int) -> Iterator[int]:
    """``count`` new processes, each with the work opened once; a free one takes the next task.

    When one fails, the others end the task they are at, whose results still come; then the error is raised.

    Raises:
        ArtifactError: a worker died, e.g. for want of memory.
        SidrecError: whatever the work raised of that kind.
    """
    pool: dict[Any, Any] = {}
    context = get_context("spawn")  # a forked torch hangs in its thread pools
    failure: Exception | None = None
    todo = iter(tasks)
    try:
        with _one_thread():
            for index in range(min(count, len(tasks))):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, opener, index), daemon=True)
                process.start()
                theirs.close()
                pool[ours] = process
        while pool:
            ready: list[Any] = connection.wait(list(pool))
            for pipe in ready:
                try:
                    kind, value = pipe.recv()
                except (EOFError, ConnectionResetError):
                    process = pool.pop(pipe)
                    process.join()
                    failure = failure or _died(process.exitcode)
                    continue
                if kind == "error":
                    failure = failure or error_again(*value)
                elif kind == "done":
                    yield value
                task = None if failure is not None else next(todo, None)
                with suppress(BrokenPipeError, ConnectionResetError):  # it died since: the next look at the pipe says so
                    pipe.send(task)
                if task is None:
                    pool.pop(pipe).join()
    finally:
        for process in pool.values():
            process.kill()
            process.join()
    if failure is not None:
        raise failure


def _serve(pipe: Any, opener: Opener, index: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = opener(index)
        pipe.send(("ready", None))
        while (task := pipe.recv()) is not None:
            work(task)
            pipe.send(("done", task))
        return
    except Exception as error:
        pipe.send(("error", error_parts(error)))
    pipe.recv()


def _end_with_parent() -> None:
    """A killed parent must leave no worker behind that writes into a folder which another run has taken over."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _died(exit_code: int | None) -> ArtifactError:
    how = f"exit code {exit_code}" if exit_code is None or exit_code >= 0 else f"signal {signal.Signals(-exit_code).name}"
    why = "; SIGKILL often means that memory ran out: fewer --num-workers need less" if exit_code == -signal.SIGKILL else ""
    return ArtifactError(f"a worker process died ({how}{why}); finished parts are kept: run the same command again to go on")


def error_parts(error: Exception) -> tuple[str, str]:
    """An error as two texts that travel between processes: its class, and its sentence or (not of ours) its traceback."""
    if isinstance(error, SidrecError):
        return type(error).__name__, str(error)
    return "", "".join(traceback.format_exception(error))


def error_again(kind: str, text: str) -> Exception:
    """The error of ``error_parts``."""
    if not kind:
        return RuntimeError(f"a worker failed:\n{text}")
    error: SidrecError = getattr(errors, kind).__new__(getattr(errors, kind))  # some build their sentence from other arguments
    error.args = (text,)
    return error


@contextmanager
def _one_thread() -> Iterator[None]:
    """For processes started inside: numerical libraries read these variables when they are loaded."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
