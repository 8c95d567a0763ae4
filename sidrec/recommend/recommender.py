"""Prompts in, ranked catalogue items out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.log import progress
from sidrec.recommend.beam import NORMALISERS, Found, Looked, Normaliser, Search
from sidrec.recommend.decoder import Decoder
from sidrec.recommend.engine import StaticEngine
from sidrec.recommend.explain import Explanation, explain
from sidrec.recommend.filters import Alive, MaskCounts
from sidrec.recommend.prompts import batches, check_prompts, input_rows
from sidrec.recommend.tables import Tables
from sidrec.recommend.trie import Trie
from sidrec.types import ItemCodes, Ranked, Request
from sidrec.vocabulary import SidVocabulary

_LONG = 256  # requests from which progress is shown


@dataclass(frozen=True)
class Recommender:
    """A trained model that answers with items of one catalogue, never with anything else.

    ``normaliser`` says what a code's probability is measured against:

    - ``"valid"`` (default): the codes that the catalogue has at that node. The probabilities of all items then sum to 1,
      whatever the model would spend on text and on codes of no item, and a node's only child is certain: the model
      need not be run for it, which saves most of the deeper steps.
    - ``"full"``: the whole vocabulary, as ``transformers``' own beam search has it. A score is then the model's own
      log-probability of the codes.

    On the demo shop the two rank alike (Recall@10 of 2,000 customers differs by 0.0005); with Qwen3's 151,669 tokens
    the whole vocabulary costs 4 to 12 times as much (``benchmarks/bench_recommend.py``).

    Filters never change a score: an item has the same one whatever else may be recommended.

    Items that share a semantic ID have the same score. Items of equal score stand by falling ``popularity`` (one number an
    item) where it is given, then by their index.

    ``static`` says which search runs, not what it finds: the one of fixed shapes that a GPU replays as a graph
    (``StaticEngine``; requests with caps stay with the other one). Default: where the model is a plain Qwen3 on a GPU.

    Raises:
        ArtifactError: model, vocabulary and codes do not belong together, or the model cannot be decoded.
    """

    model: PreTrainedModel
    vocabulary: SidVocabulary
    codes: ItemCodes
    normaliser: Normaliser = "valid"
    popularity: NDArray[np.number] | None = None
    static: bool | None = None

    def __post_init__(self) -> None:
        if self.normaliser not in NORMALISERS:
            raise ConfigError(f"unknown normaliser {self.normaliser!r}: one of {', '.join(NORMALISERS)}")
        if self.codes.sizes != self.vocabulary.sizes:
            raise ArtifactError(
                f"the catalogue's codes have the level sizes {self.codes.sizes}, the model's vocabulary "
                f"{self.vocabulary.sizes}: they are of different runs; run `sidrec train-vocabulary` again"
            )
        for rows in (input_rows(self.model), self._decoder.rows):
            if rows <= self.vocabulary.last_id:
                raise ArtifactError(
                    f"the model has {rows} embedding rows, the semantic IDs need ids up to {self.vocabulary.last_id}: "
                    "it was trained with another codebook; run `sidrec train-vocabulary` again"
                )
        _ = self._search, self._engine and self._tables  # build now, so that the first request does not wait

    @cached_property
    def trie(self) -> Trie:
        """The catalogue."""
        return Trie.build(self.codes.codes, self.codes.sizes, self.popularity)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder.open(self.model)

    @cached_property
    def _counts(self) -> MaskCounts:
        return MaskCounts(self.trie)

    @cached_property
    def _search(self) -> Search:
        return Search(self._decoder, self.trie, self.vocabulary.level_offsets.tolist(), self.normaliser)

    @cached_property
    def _engine(self) -> StaticEngine | None:
        fits = StaticEngine.fits(self.model)
        if self.static and not fits:
            raise ConfigError("the static search knows plain Qwen3 models only: leave `static` out for this one")
        if not (self.model.device.type == "cuda" and fits if self.static is None else self.static):
            return None
        offsets = self.vocabulary.level_offsets.tolist()
        return StaticEngine(self.model, offsets, self.vocabulary.sizes, self.normaliser == "full")

    @cached_property
    def _tables(self) -> Tables:
        return Tables.of(self.trie, self.model.device)

    def over(self, codes: ItemCodes, popularity: NDArray[np.number] | None = None) -> Recommender:
        """The same model over another catalogue; all that belongs to the model alone is shared.

        Raises:
            ArtifactError: the codes are of another codebook.
        """
        made = object.__new__(Recommender)
        of_model = {
            name: self.__dict__[name] for name in ("model", "vocabulary", "normaliser", "static", "_decoder", "_engine")
        }
        made.__dict__.update(of_model, codes=codes, popularity=popularity)
        made.__post_init__()
        return made

    def rank(
        self,
        prompts: Sequence[Sequence[int]],
        k: int,
        beams: int,
        exclude: Sequence[Sequence[int]] | None = None,
        eligible: NDArray[np.bool_] | None = None,
        batch_size: int = 64,
    ) -> list[Ranked]:
        """``answer`` for prompts that share one mask: ``exclude`` is a list of items a prompt."""
        if exclude is not None and len(exclude) != len(prompts):
            raise DataError(f"{len(prompts)} prompts need as many lists of excluded items, found {len(exclude)}")
        lists: Sequence[Sequence[int]] = exclude if exclude is not None else [()] * len(prompts)
        requests = [Request(prompt, left_out, eligible) for prompt, left_out in zip(prompts, lists, strict=True)]
        return self.answer(requests, k, beams, batch_size=batch_size)

    def answer(
        self,
        requests: Sequence[Request],
        k: int,
        beams: int,
        exact: bool = False,
        max_beams: int = 1024,
        batch_size: int = 64,
    ) -> list[Ranked]:
        """The ``k`` best items for each request.

        Args:
            requests: prompts up to where the answer starts, without ``<|sid_start|>``, and their filters and caps.
            k: items a request; fewer come back only where fewer are eligible, or where no choice of items within the caps
                has more (the search keeps beams for that, however narrow it is).
            beams: prefixes kept at each level, raised to ``k`` where that is larger.
            exact: search again with twice the beams, on the same prefill, what is not certified yet, up to ``max_beams``;
                an answer that is not certified then says so (``Ranked.exact``).
            batch_size: requests decoded at once at most. It does not change the result beyond float noise.

        Returns:
            One ``Ranked`` a request, in the same order. Scores are summed log-probabilities of the codes; equal scores
            stand in the order of the item index (or of the trie's popularity), and where the beam was too narrow for all
            of them the lower codes go on.

        Raises:
            DataError: a prompt the model cannot read, an item that is not in the catalogue, a mask of the wrong shape, a
                cap of no level.
        """
        if k < 1 or beams < 1 or batch_size < 1 or max_beams < 1:
            raise ConfigError(
                f"k, beams, max_beams and batch_size are at least 1, found {k}, {beams}, {max_beams} and {batch_size}"
            )
        prompts = [request.prompt for request in requests]
        check_prompts(self.model, prompts, behind=1 + self.vocabulary.levels)
        self._check_caps(requests)
        width = max(beams, k)
        answers: list[Ranked | None] = [None] * len(requests)
        shown = progress("recommend", len(requests)) if len(requests) >= _LONG else nullcontext()
        with shown as bar:
            for batch in batches(prompts, batch_size):
                alive = Alive.of(self.trie, [requests[i] for i in batch], self._counts, batch)
                totals = alive.totals()
                for i, total in zip(batch, totals.tolist(), strict=True):
                    if not total:
                        answers[i] = self._nothing(width)
                asked = [i for i, total in zip(batch, totals.tolist(), strict=True) if total]
                if asked:
                    if len(asked) < len(batch):
                        alive = Alive.of(self.trie, [requests[i] for i in asked], self._counts)
                    limit = max(max_beams, width) if exact else width
                    for i, ranked in zip(asked, self._batch([requests[i] for i in asked], alive, k, width, limit), strict=True):
                        answers[i] = ranked
                if bar is not None:
                    bar.advance(len(batch))
        return [answer for answer in answers if answer is not None]

    def answer_each(self, requests: Sequence[Request], k: Sequence[int], beams: Sequence[int]) -> list[Ranked]:
        """``answer`` where every request has its own ``k`` and ``beams``, decoded together as far as the search can."""
        widths = [max(own, wide) for _, own, wide in zip(requests, k, beams, strict=True)]
        if self._engine is not None and requests and not _caps(requests) and min(k) > 0 and min(beams) > 0:
            check_prompts(self.model, [request.prompt for request in requests], behind=1 + self.vocabulary.levels)
            alive = Alive.of(self.trie, requests, self._counts)
            if alive.totals().all():
                return self._static(requests, alive, k, widths)
        answers: dict[int, Ranked] = {}
        for pair in dict.fromkeys(zip(k, widths, strict=True)):
            rows = [row for row, own in enumerate(zip(k, widths, strict=True)) if own == pair]
            answers.update(zip(rows, self.answer([requests[row] for row in rows], *pair), strict=True))
        return [answers[row] for row in range(len(requests))]

    def explain(self, request: Request, k: int, beams: int) -> Explanation:
        """The answer to one request as ``answer`` gives it, and the tree of all that was considered on the way."""
        width = max(beams, k)
        ranked = self.answer([request], k, beams)[0]
        alive = Alive.of(self.trie, [request], self._counts)
        looked: list[Looked] = []
        if ranked.eligible:
            branches = self._search.read([[*request.prompt, self.vocabulary.start_id]], width)
            self._search.run(branches, alive, width, k, _caps([request]), looked)
        return explain(ranked, looked, alive)

    def _batch(self, requests: Sequence[Request], alive: Alive, k: int, width: int, limit: int) -> list[Ranked]:
        """Answers of one batch, each of whose requests has an eligible item; wider and wider up to ``limit`` beams."""
        if self._engine is not None and not _caps(requests):
            return self._batch_static(requests, alive, k, width, limit)
        branches = self._search.read([[*request.prompt, self.vocabulary.start_id] for request in requests], width)
        eligible = alive.totals().tolist()
        answers = self._ranked(self._search.run(branches, alive, width, k, _caps(requests)), eligible, [width] * len(requests))
        open_ = [row for row, answer in enumerate(answers) if not answer.exact]
        at_once = len(requests) * width  # beams that the caller's batch size has found room for
        while open_ and width < limit:
            width = min(2 * width, limit)
            size = max(1, at_once // width)
            for start in range(0, len(open_), size):
                rows = open_[start : start + size]
                some = [requests[row] for row in rows]
                again = branches.fork(torch.tensor(rows, device=branches.device), self._search.room(width))
                found = self._search.run(again, Alive.of(self.trie, some, self._counts), width, k, _caps(some))
                below = [eligible[row] for row in rows]
                for row, answer in zip(rows, self._ranked(found, below, [width] * len(rows)), strict=True):
                    answers[row] = answer
            open_ = [row for row in open_ if not answers[row].exact]
        return answers

    def _batch_static(self, requests: Sequence[Request], alive: Alive, k: int, width: int, limit: int) -> list[Ranked]:
        """The same by the search of fixed shapes, which reads the prompts again where it widens."""
        answers = self._static(requests, alive, [k] * len(requests), [width] * len(requests))
        while width < limit and (open_ := [row for row, answer in enumerate(answers) if not answer.exact]):
            width = min(2 * width, limit)
            some = [requests[row] for row in open_]
            again = self._static(some, Alive.of(self.trie, some, self._counts), [k] * len(some), [width] * len(some))
            for row, answer in zip(open_, again, strict=True):
                answers[row] = answer
        return answers

    def _static(self, requests: Sequence[Request], alive: Alive, k: Sequence[int], widths: Sequence[int]) -> list[Ranked]:
        assert self._engine is not None
        opened = [[*request.prompt, self.vocabulary.start_id] for request in requests]
        n = self.trie.n_items  # more would only be room that stays empty
        found = self._engine.run(self._tables, opened, alive, [min(wide, n) for wide in widths], [min(own, n) for own in k])
        return self._ranked(found, alive.totals().tolist(), widths)

    def _ranked(self, found: Found, eligible: Sequence[int], widths: Sequence[int]) -> list[Ranked]:
        answers = []
        for row, (total, width) in enumerate(zip(eligible, widths, strict=True)):
            here = found.scores[row] > -np.inf
            items, scores, levels = found.items[row][here], found.scores[row][here], found.levels[row][here]
            answers.append(Ranked(items, scores, total, levels, bool(found.exact[row]), width))
        return answers

    def _nothing(self, width: int) -> Ranked:
        levels = np.empty((0, self.trie.levels), dtype=np.float32)
        return Ranked(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32), 0, levels, exact=True, beams=width)

    def _check_caps(self, requests: Sequence[Request]) -> None:
        levels = self.vocabulary.levels
        for number, request in enumerate(requests):
            for depth, most in request.caps.items():
                if not 1 <= depth <= levels or most < 1:
                    raise DataError(
                        f"request {number} caps prefixes of {depth} codes at {most} items: a cap is at least 1, for prefixes "
                        f"of 1 to {levels} codes"
                    )


def _caps(requests: Sequence[Request]) -> dict[int, Mapping[int, int]]:
    return {row: request.caps for row, request in enumerate(requests) if request.caps}
