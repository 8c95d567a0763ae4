"""Prompts in, ranked catalogue items out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from sidrec.errors import ArtifactError, ConfigError, DataError
from sidrec.log import progress
from sidrec.recommend.beam import NORMALISERS, Normaliser, Search
from sidrec.recommend.decoder import Decoder
from sidrec.recommend.filters import Alive
from sidrec.recommend.prompts import batches, check_prompts, input_rows
from sidrec.recommend.trie import Trie
from sidrec.types import ItemCodes, Ranked
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
    the whole vocabulary costs 5 to 12 times as much (``benchmarks/bench_recommend.py``).

    Filters never change a score: an item has the same one whatever else may be recommended.

    Raises:
        ArtifactError: model, vocabulary and codes do not belong together, or the model cannot be decoded.
    """

    model: PreTrainedModel
    vocabulary: SidVocabulary
    codes: ItemCodes
    normaliser: Normaliser = "valid"

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
        _ = self._search  # build now, so that the first request does not wait

    @cached_property
    def trie(self) -> Trie:
        """The catalogue."""
        return Trie.build(self.codes.codes, self.codes.sizes)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder.open(self.model)

    @cached_property
    def _search(self) -> Search:
        return Search(self._decoder, self.trie, self.vocabulary.level_offsets.tolist(), self.normaliser)

    def rank(
        self,
        prompts: Sequence[Sequence[int]],
        k: int,
        beams: int,
        exclude: Sequence[Sequence[int]] | None = None,
        eligible: NDArray[np.bool_] | None = None,
        batch_size: int = 64,
    ) -> list[Ranked]:
        """The ``k`` best items for each prompt.

        Args:
            prompts: token ids up to where the answer starts, without ``<|sid_start|>``.
            k: items a request; fewer come back only where fewer are eligible.
            beams: prefixes kept at each level, raised to ``k`` where that is larger.
            exclude: item indices that each request must not get, in any order.
            eligible: bool ``(N,)``: the items that any request may get; default all.
            batch_size: requests decoded at once at most. It does not change the result beyond float noise.

        Returns:
            One ``Ranked`` a prompt, in the same order. Scores are summed log-probabilities of the codes; equal scores
            stand in the order of the item index, and where the beam was too narrow for all of them the lower codes go on.

        Raises:
            DataError: a prompt the model cannot read, an item that is not in the catalogue, a mask of the wrong shape.
        """
        if k < 1 or beams < 1 or batch_size < 1:
            raise ConfigError(f"k, beams and batch_size are at least 1, found {k}, {beams} and {batch_size}")
        if exclude is not None and len(exclude) != len(prompts):
            raise DataError(f"{len(prompts)} prompts need as many lists of excluded items, found {len(exclude)}")
        check_prompts(self.model, prompts, behind=1 + self.vocabulary.levels)
        sums = None if eligible is None else self.trie.alive(eligible)
        totals = Alive.of(self.trie, len(prompts), sums, exclude).totals()
        nothing = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        answers = [Ranked(*nothing, eligible=int(total)) for total in totals]
        asked = np.flatnonzero(totals).tolist()
        shown = progress("recommend", len(prompts)) if len(prompts) >= _LONG else nullcontext()
        with shown as bar:
            for chosen in batches([prompts[i] for i in asked], batch_size):
                batch = [asked[i] for i in chosen]
                alive = Alive.of(self.trie, len(batch), sums, None if exclude is None else [exclude[i] for i in batch])
                opened = [[*prompts[i], self.vocabulary.start_id] for i in batch]
                items, scores = self._search.run(opened, alive, max(beams, k), k)
                for i, row, score in zip(batch, items, scores, strict=True):
                    found = score > -np.inf
                    answers[i] = Ranked(row[found], score[found], int(totals[i]))
                if bar is not None:
                    bar.advance(len(batch))
        return answers
