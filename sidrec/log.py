"""What a person sees while work goes on: lines, progress, and ``metrics.jsonl``.

Rich bars on a terminal; elsewhere a plain line every few seconds, so that a CI log stays readable.
Everything goes to standard error: standard output belongs to results, so ``--json`` can be piped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
console = Console(stderr=True, highlight=False)
_PLAIN_SECONDS = 10.0


def say(text: str) -> None:
    """One line for the user."""
    console.print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """One line that the user should not overlook."""
    console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' own bars and loading report off the screen; what matters is checked and said in our words."""
    from transformers.utils import logging  # seconds to import: only where a model is at hand anyway

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def muted_progress() -> Iterator[None]:
    """Bars that are begun inside stay silent: part of a longer work that shows its own."""
    Bar.muted += 1
    try:
        yield
    finally:
        Bar.muted -= 1


class Bar:
    """A running count; made by ``progress``."""

    muted: ClassVar[int] = 0

    def __init__(self, name: str, total: int | None) -> None:
        self._name, self._total, self._done = name, total, 0
        self._note = ""
        self._rich: RichProgress | None = None
        self._began = self._spoke = time.monotonic()
        self._silent = Bar.muted > 0
        if console.is_terminal and not self._silent:
            self._rich = RichProgress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console, transient=True,
            )  # fmt: skip
            self._rich.start()
            self._task = self._rich.add_task(name, total=total, note="")

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count ``n`` more; ``note`` stands behind the bar, e.g. the loss."""
        self._done += n
        self._note = note or self._note
        if self._rich is not None:
            self._rich.update(self._task, advance=n, note=self._note)
        elif not self._silent and time.monotonic() - self._spoke >= _PLAIN_SECONDS:
            self._spoke = time.monotonic()
            of = f"/{self._total}" if self._total else ""
            elapsed = self._spoke - self._began
            left = f", {elapsed / self._done * (self._total - self._done):.0f} s left" if self._total and self._done else ""
            say(f"  {self._name}: {self._done}{of} in {elapsed:.0f} s{left}{f'  {self._note}' if self._note else ''}")

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._rich is not None:
            self._rich.stop()


def progress(name: str, total: int | None = None) -> Bar:
    """``with progress("embed", total=n) as bar: bar.advance(k)``."""
    return Bar(name, total)


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Iterate with progress."""
    with progress(name, total) as bar:
        for item in items:
            yield item
            bar.advance()


@contextmanager
def timed() -> Iterator[list[float]]:
    """``with timed() as t: ...`` leaves the seconds in ``t[0]``."""
    seconds = [0.0]
    began = time.perf_counter()
    try:
        yield seconds
    finally:
        seconds[0] = time.perf_counter() - began


class MetricsLog:
    """Appends one JSON object a line; ``truncate_after`` drops what a resumed run will write again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, **values: Any) -> None:
        """Write one line and flush it to the operating system."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()

    def truncate_after(self, stage: str, step: int) -> None:
        """Keep the lines of other stages, and those of ``stage`` up to ``step``; a torn last line goes."""
        if not self.path.exists():
            return
        kept: list[str] = []
        for line in self.path.read_text("utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row.get("stage") != stage or row.get("step", 0) <= step:
                kept.append(line)
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text("".join(line + "\n" for line in kept), "utf-8")
        temporary.replace(self.path)
