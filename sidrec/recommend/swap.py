"""A catalogue that is replaced while requests run, and no answer made from two of them.

All that an answer depends on beside the model hangs on one immutable ``Snapshot`` behind one reference. A swap builds the
next one beside the running requests and then sets the reference; a batch reads it once. Weights, CUDA graphs and their
buffers belong to the model and are shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from sidrec.errors import DataError
from sidrec.recommend.recommender import Recommender
from sidrec.types import ItemCodes, Ranked, Request


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One version of the catalogue. ``carried`` is what the caller wants replaced with it, such as the items' table."""

    version: int
    recommender: Recommender
    carried: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request with its ``k`` and ``beams``.

    Its exclusions and its mask count items of one version: ``snapshot`` names it, and it is answered from that one even when
    a newer has come. ``None``: of whatever version is current when it is decoded, for requests that name no item.
    """

    request: Request
    k: int
    beams: int
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """An answer, and the version that its item indices are of."""

    ranked: Ranked
    snapshot: Snapshot


class LiveRecommender:
    """Answers from the current catalogue; used by any number of threads."""

    def __init__(self, recommender: Recommender, version: int = 1, carried: Any = None) -> None:
        self._current = Snapshot(version, recommender, carried)
        self._swapping = Lock()

    @property
    def current(self) -> Snapshot:
        """The catalogue that is answered from now. Keep what you read for as long as you use its item indices."""
        return self._current

    def swap(self, codes: ItemCodes, version: int, popularity: NDArray[Any] | None = None, carried: Any = None) -> Snapshot:
        """Answer from other codes of the same codebook from now on; one swap at a time, requests go on meanwhile.

        Raises:
            DataError: the version is not above the current one.
            ArtifactError: the codes are of another codebook; the catalogue stays as it is.
        """
        with self._swapping:
            if version <= self._current.version:
                raise DataError(
                    f"version {version} of the catalogue cannot follow version {self._current.version}: versions only rise"
                )
            made = Snapshot(version, self._current.recommender.over(codes, popularity), carried)
            self._current = made  # one assignment: a reader sees the old snapshot or the new one
            return made

    def warm(self, lengths: Sequence[int], beams: int, sizes: Sequence[int] = (1,)) -> None:
        """Answer requests of these prompt lengths in batches of these sizes, so that what is made at the first of a kind (on a
        GPU a recording, seconds) is made before a customer waits for it."""
        for length in lengths:
            for size in sizes:
                self.answer([Asked(Request([0] * length), beams, beams)] * size)

    def answer(self, asked: Sequence[Asked]) -> list[Answered]:
        """One answer a request, in the same order; requests of one version are decoded together."""
        current = self._current
        snapshots = [one.snapshot or current for one in asked]
        answers: dict[int, Answered] = {}
        for snapshot in {id(snapshot): snapshot for snapshot in snapshots}.values():
            rows = [row for row, own in enumerate(snapshots) if own is snapshot]
            some = [asked[row] for row in rows]
            ranked = snapshot.recommender.answer_each(
                [one.request for one in some], [one.k for one in some], [one.beams for one in some]
            )
            answers.update((row, Answered(one, snapshot)) for row, one in zip(rows, ranked, strict=True))
        return [answers[row] for row in range(len(asked))]
