"""Open a finished run and answer requests: history, text, co-purchase or a known user in, catalogue items out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sidrec import columns as c
from sidrec import converse, storage
from sidrec.artifacts import verified_manifest
from sidrec.ask.conditions import Conditions
from sidrec.ask.options import DEFAULTS, Options
from sidrec.ask.prompting import HistoryPrompts
from sidrec.ask.shown import Answer
from sidrec.catalogue.live import open_catalogue
from sidrec.errors import ArtifactError, DataError
from sidrec.pipeline import Run, renderer_for
from sidrec.recommend import Explanation, Recommender, load_model, resolve_device
from sidrec.recommend.eligibility import Eligibility
from sidrec.render import Renderer
from sidrec.types import Corpus, ItemCodes, Ranked, Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_NAMED = 10  # latest purchases that an answer names


@dataclass(frozen=True)
class Answerer:
    """A trained run, ready to recommend; made by ``Answerer.open``. Serves one version of the catalogue.

    ``corpus.items`` and ``codes`` are those of the live catalogue; ``conditions`` know which of its items are retired: no
    answer holds one.
    """

    run: Run
    corpus: Corpus
    codes: ItemCodes
    model: PreTrainedModel
    renderer: Renderer
    recommender: Recommender
    conditions: Conditions

    @classmethod
    def open(cls, run: Run, *, live: bool = True) -> Answerer:
        """Check and load what answering needs; without ``live``, the catalogue that the model was trained on, whole.

        Raises:
            ArtifactError: a stage is missing or damaged, or the model is of another codebook; its command is named.
        """
        corpus = storage.load_corpus(run.checked("ingest"))
        codes = storage.load_codes(run.checked("quantize"))
        folder = run.checked("train-full")
        check_codebook(run)
        offered = None
        if live:
            now = open_catalogue(run)
            corpus, codes, offered = replace(corpus, items=now.items), now.codes, now.registry.offered()
        config = run.config.recommend
        model, tokenizer = load_model(folder, resolve_device(config.device), config.dtype)
        renderer = renderer_for(tokenizer.backend_tokenizer, codes.sizes)
        purchases = storage.count_training_purchases(run.folder("ingest"), corpus.n_items)
        recommender = Recommender(model, renderer.vocabulary, codes, popularity=purchases)
        return cls(run, corpus, codes, model, renderer, recommender, Conditions.of(corpus.items, purchases, offered))

    def for_history(self, item_ids: Sequence[str], k: int, options: Options = DEFAULTS) -> Answer:
        """The next purchase after these item ids, oldest first.

        None at all is a customer who has not bought yet: what the model expects of a first purchase.

        Raises:
            DataError: an id is not in the catalogue, and ``options`` do not drop it.
        """
        history, notes = self.conditions.rows(item_ids, "the history", options.unknown_items)
        known = [item_id for item_id in item_ids if item_id in self.conditions.row_of]
        earlier = f" (and {len(known) - _NAMED:,} earlier)" * (len(known) > _NAMED)
        asked = f"After {', '.join(known[-_NAMED:])}{earlier}" if history else "For a customer with no purchases yet"
        return self._after(asked, history, k, options, notes)

    def for_user(self, user: str, k: int, options: Options = DEFAULTS) -> Answer:
        """The next purchase of a customer of the log.

        Raises:
            DataError: no customer has that id.
        """
        return self._after(f"For customer {user}", self.user_history(user), k, options, [])

    def for_text(self, text: str, k: int, options: Options = DEFAULTS) -> Answer:
        """Items for a shopper's sentence.

        Raises:
            DataError: the text is empty, or no Unicode.
        """
        if not text.strip():
            raise DataError("the text to search for is empty: give a sentence, e.g. --text 'toy for a large dog'")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"the text to search for holds half a character (a lone surrogate, character {error.start + 1}): give UTF-8"
            ) from None
        prompt = self.renderer.prompt(converse.text_prompt(text.strip()))
        return self._answer(f"For “{text.strip()}”", prompt, (), k, options, [])

    def for_item(self, item_id: str, k: int, options: Options = DEFAULTS) -> Answer:
        """Items bought soon after an item, itself left out.

        Raises:
            DataError: no item has that id.
        """
        (item,), _ = self.conditions.rows([item_id], "the question", unknown_items=None)
        prompt = self.renderer.prompt(converse.bought_with_prompt(self.codes, item))
        return self._answer(f"Bought with {item_id} ({self.title(item)})", prompt, (item,), k, options, [])

    def explain(self, answer: Answer) -> Explanation:
        """The search behind an answer, as wide as it was in the end."""
        return self.recommender.explain(answer.request, answer.k, answer.ranked.beams)

    def rank_histories(self, histories: Sequence[Sequence[int]], k: int, options: Options = DEFAULTS) -> list[Ranked]:
        """The next purchase of each history of item indices."""
        requests, _ = self.requests(histories, options)
        return self._ranked(requests, k, options)

    def requests(self, histories: Sequence[Sequence[int]], options: Options = DEFAULTS) -> tuple[list[Request], list[str]]:
        """What the decoder is asked for each history, all with one mask; and what was done to the lists of ``options``."""
        eligibility, notes = self.conditions.eligibility(options)
        exclude = self.run.config.recommend.exclude_seen if options.exclude_seen is None else options.exclude_seen
        made = [
            Request(self.prompts(history), tuple(history) if exclude else (), eligibility.mask, options.caps)
            for history in histories
        ]
        return made, notes

    def user_history(self, user: str) -> list[int]:
        """All purchases of a customer, oldest first.

        Raises:
            DataError: no customer has that id.
        """
        rows = self.corpus.histories.filter(pl.col(c.USER_ID) == user)[c.ITEMS].to_list()
        if not rows:
            example = self.corpus.histories[c.USER_ID][0]
            raise DataError(f"no customer {user!r} in {self.run.path}; customer ids look like {example!r}")
        return [int(item) for item in rows[0]]

    def title(self, item: int) -> str:
        """The title of an item."""
        return str(self.corpus.items[c.TITLE][item])

    @cached_property
    def prompts(self) -> HistoryPrompts:
        """What of a history the model is shown."""
        most, context = self.run.config.converse.max_history_items, self.model.config.max_position_embeddings
        return HistoryPrompts(self.renderer, self.codes, most, int(context))

    def _after(self, asked: str, history: list[int], k: int, options: Options, notes: list[str]) -> Answer:
        if note := self.prompts.note(len(history)):
            notes = [*notes, note]
        exclude = self.run.config.recommend.exclude_seen if options.exclude_seen is None else options.exclude_seen
        return self._answer(asked, self.prompts(history), tuple(history) if exclude else (), k, options, notes)

    def _answer(
        self, asked: str, prompt: list[int], exclude: tuple[int, ...], k: int, options: Options, notes: list[str]
    ) -> Answer:
        eligibility, more = self.conditions.eligibility(options)
        request = Request(prompt, exclude, eligibility.mask, options.caps)
        ranked = self._ranked([request], k, options)[0]
        shortfall = ""
        if len(ranked.items) < k:
            shortfall = eligibility.why_so_few(exclude)
            if len(ranked.items) < min(k, ranked.eligible):
                shortfall = f"the caps on shared prefixes leave room for no more of {ranked.eligible:,} items; {shortfall}"
        rows = self._rows(ranked, eligibility)
        filters = tuple(str(one) for one in eligibility.filters)
        return Answer(asked, k, request, ranked, rows, filters, (*notes, *more), shortfall, options.exact)

    def _ranked(self, requests: Sequence[Request], k: int, options: Options) -> list[Ranked]:
        config = self.run.config.recommend
        # More than the catalogue has cannot come out, and beams are made for it.
        k, beams = min(k, self.codes.n_items), options.beams or config.beams
        return self.recommender.answer(requests, k, beams, options.exact, batch_size=config.batch_size)

    def _rows(self, ranked: Ranked, eligibility: Eligibility) -> tuple[dict[str, Any], ...]:
        items = ranked.items.tolist()
        matches = eligibility.matches(items)
        return tuple(
            {
                "rank": rank,
                "item_id": str(self.corpus.items[c.ITEM_ID][item]),
                "title": self.title(item),
                "sid": str(self.renderer.vocabulary.spell(self.codes.codes[item])),
                "score": score,
                "probability": float(np.exp(score)),
                "levels": levels,
                "matched": [{"condition": m.condition, "column": m.column, "value": m.value} for m in matched],
            }
            for rank, (item, score, levels, matched) in enumerate(
                zip(items, ranked.scores.tolist(), ranked.levels.tolist(), matches, strict=True), start=1
            )
        )


def check_codebook(run: Run) -> None:
    """Refuse a model that learned other semantic IDs than the run's items have now.

    Raises:
        ArtifactError: says what to run.
    """
    learned = verified_manifest(run.path, "train-full").inputs.get("quantize")
    if learned != verified_manifest(run.path, "quantize").content:
        raise ArtifactError(
            f"the model in {run.folder('train-full')} was trained with another codebook than {run.folder('quantize')} holds "
            f"now, so its semantic IDs mean other items: `sidrec run --config FILE --run {run.path}` trains it anew"
        )
