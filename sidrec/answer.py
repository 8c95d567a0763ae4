"""Open a finished run and answer requests: history, text, co-purchase or a known user in, catalogue items out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec import converse, storage
from sidrec.artifacts import verified_manifest
from sidrec.asking import DEFAULTS, Options
from sidrec.catalogue import open_catalogue
from sidrec.errors import ArtifactError, DataError
from sidrec.pipeline import Run, renderer_for
from sidrec.recommend import Explanation, Recommender, load_model, resolve_device
from sidrec.recommend.eligibility import Eligibility
from sidrec.recommend.expressions import FilterColumns
from sidrec.render import Renderer
from sidrec.shown import Answer
from sidrec.types import Corpus, ItemCodes, Ranked, Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_COMPOSED = 32  # compositions of conditions that are kept; each takes a byte an item
_NAMED = 5  # unknown ids that a message names


@dataclass(frozen=True)
class Answerer:
    """A trained run, ready to recommend; made by ``Answerer.open``. Serves one version of the catalogue.

    ``corpus.items`` and ``codes`` are those of the live catalogue. ``offered``, bool ``(N,)``, are its items that are not
    retired: no answer holds another. ``None``: all are. ``purchases``, int64 ``(N,)``: of each item in training.
    """

    run: Run
    corpus: Corpus
    codes: ItemCodes
    model: PreTrainedModel
    renderer: Renderer
    recommender: Recommender
    purchases: NDArray[np.int64]
    offered: NDArray[np.bool_] | None = None

    @classmethod
    def open(cls, run: Run, *, live: bool = True) -> Answerer:
        """Check and load what answering needs; without ``live``, the catalogue that the model was trained on, whole.

        Raises:
            ArtifactError: a stage is missing or damaged, or the model is of another codebook; its command is named.
        """
        corpus = storage.load_corpus(run.checked("ingest"))
        codes = storage.load_codes(run.checked("quantize"))
        folder = run.checked("train-full")
        _check_codebook(run)
        offered = None
        if live:
            now = open_catalogue(run)
            corpus, codes, offered = replace(corpus, items=now.items), now.codes, now.registry.offered()
        model, tokenizer = load_model(folder, resolve_device(run.config.recommend.device))
        renderer = renderer_for(tokenizer.backend_tokenizer, codes.sizes)
        purchases = training_purchases(corpus)
        recommender = Recommender(model, renderer.vocabulary, codes, popularity=purchases)
        offered = None if offered is None or offered.all() else offered
        return cls(run, corpus, codes, model, renderer, recommender, purchases, offered)

    def for_history(self, item_ids: Sequence[str], k: int, options: Options = DEFAULTS) -> Answer:
        """The next purchase after these item ids, oldest first.

        None at all is a customer who has not bought yet: what the model expects of a first purchase.

        Raises:
            DataError: an id is not in the catalogue, and ``options`` do not drop it.
        """
        history, notes = self.item_indices(item_ids, options, "the history")
        asked = f"After {', '.join(item_ids)}" if history else "For a customer with no purchases yet"
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
            DataError: the text is empty.
        """
        if not text.strip():
            raise DataError("the text to search for is empty: give a sentence, e.g. --text 'toy for a large dog'")
        prompt = self.renderer.prompt(converse.text_prompt(text.strip()))
        return self._answer(f"For “{text.strip()}”", prompt, (), k, options, [])

    def for_item(self, item_id: str, k: int, options: Options = DEFAULTS) -> Answer:
        """Items bought soon after an item, itself left out.

        Raises:
            DataError: no item has that id.
        """
        (item,), notes = self.item_indices([item_id], replace(options, unknown_items="refuse"), "--bought-with")
        prompt = self.renderer.prompt(converse.bought_with_prompt(self.codes, item))
        return self._answer(f"Bought with {item_id} ({self.title(item)})", prompt, (item,), k, options, notes)

    def explain(self, answer: Answer) -> Explanation:
        """The search behind an answer, as wide as it was in the end."""
        return self.recommender.explain(answer.request, answer.k, answer.ranked.beams)

    def rank_histories(self, histories: Sequence[Sequence[int]], k: int, options: Options = DEFAULTS) -> list[Ranked]:
        """The next purchase of each history of item indices."""
        requests, _ = self.requests(histories, options)
        return self._ranked(requests, k, options)

    def requests(self, histories: Sequence[Sequence[int]], options: Options = DEFAULTS) -> tuple[list[Request], list[str]]:
        """What the decoder is asked for each history, all with one mask; and what was done to the lists of ``options``."""
        eligibility, notes = self.eligibility(options)
        exclude = self.run.config.recommend.exclude_seen if options.exclude_seen is None else options.exclude_seen
        made = [
            Request(self.history_prompt(history), tuple(history) if exclude else (), eligibility.mask, options.caps)
            for history in histories
        ]
        return made, notes

    def eligibility(self, options: Options) -> tuple[Eligibility, list[str]]:
        """All conditions but what a customer has bought, composed; the same options give the same arrays. And notes.

        Raises:
            ConfigError: a filter is none, or does not fit the catalogue's columns.
            DataError: a listed id is not in the catalogue, and ``options`` do not drop it.
        """
        allow, notes = (None, []) if options.allow is None else self.item_indices(options.allow, options, "the allow-list")
        deny, more = self.item_indices(options.deny, options, "the deny-list")
        chosen = None if allow is None else tuple(allow)
        return self._compose(options.filters, chosen, tuple(deny), options.min_novelty), [*notes, *more]

    def history_prompt(self, history: Sequence[int]) -> list[int]:
        """Token ids of a purchase history, as much of its end as the model may read (``shown_of``)."""
        shown = list(history)[len(history) - self.shown_of(history) :]
        return self.renderer.prompt(converse.history_prompt(self.codes, shown))

    def shown_of(self, history: Sequence[int]) -> int:
        """How many of the latest purchases the model is shown: ``converse.max_history_items``, or what its context holds."""
        return min(len(history), self.run.config.converse.max_history_items, self._context_items)

    def item_indices(self, item_ids: Sequence[str], options: Options, where: str) -> tuple[list[int], list[str]]:
        """Rows of item ids, and a note on those that ``options`` say to drop.

        Raises:
            DataError: unknown ids are refused.
        """
        rows = [self._row_of.get(item_id, -1) for item_id in item_ids]
        unknown = [item_id for item_id, row in zip(item_ids, rows, strict=True) if row < 0]
        if not unknown:
            return rows, []
        named = ", ".join(map(repr, unknown[:_NAMED])) + (f" and {len(unknown) - _NAMED:,} more" * (len(unknown) > _NAMED))
        if options.unknown_items == "drop":
            return [row for row in rows if row >= 0], [f"dropped from {where}, for the catalogue does not have it: {named}"]
        example = self.corpus.items[c.ITEM_ID][0]
        raise DataError(
            f"no item {named} in the catalogue of {self.run.path}, but in {where}; item ids look like {example!r} "
            "(--unknown-items drop leaves unknown ones out)"
        )

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
    def filter_columns(self) -> FilterColumns:
        """The catalogue as filters see it."""
        return FilterColumns.of(self.corpus.items, self.purchases)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.corpus.items[c.ITEM_ID].to_list())}

    @cached_property
    def _context_items(self) -> int:
        """How many purchases fit into the model's context, with the answer behind them."""
        first = self.renderer.prompt(converse.history_prompt(self.codes, []))
        one = len(self.renderer.prompt(converse.history_prompt(self.codes, [0]))) - len(first)
        room = int(self.model.config.max_position_embeddings) - len(first) - 1 - self.codes.levels
        return max(0, room // one)

    @cached_property
    def _compose(self) -> Callable[..., Eligibility]:
        @lru_cache(maxsize=_COMPOSED)
        def compose(
            filters: tuple[str, ...], allow: tuple[int, ...] | None, deny: tuple[int, ...], min_novelty: float | None
        ) -> Eligibility:
            return Eligibility.of(
                self.filter_columns, filters, allow=allow, deny=deny, min_novelty=min_novelty, offered=self.offered
            )

        return compose

    def _after(self, asked: str, history: list[int], k: int, options: Options, notes: list[str]) -> Answer:
        if (shown := self.shown_of(history)) < len(history):
            limit = self.run.config.converse.max_history_items
            why = f"converse.max_history_items = {limit}" if shown == limit else "its context holds no more"
            notes = [*notes, f"{len(history)} purchases; the model reads the latest {shown} ({why})"]
        exclude = self.run.config.recommend.exclude_seen if options.exclude_seen is None else options.exclude_seen
        return self._answer(asked, self.history_prompt(history), tuple(history) if exclude else (), k, options, notes)

    def _answer(
        self, asked: str, prompt: list[int], exclude: tuple[int, ...], k: int, options: Options, notes: list[str]
    ) -> Answer:
        eligibility, more = self.eligibility(options)
        request = Request(prompt, exclude, eligibility.mask, options.caps)
        ranked = self._ranked([request], k, options)[0]
        shortfall = ""
        if len(ranked.items) < k:
            shortfall = eligibility.why_so_few(exclude)
            if len(ranked.items) < min(k, ranked.eligible):
                shortfall = f"the caps on shared prefixes leave room for no more of {ranked.eligible:,} items; {shortfall}"
        rows = self._rows(ranked, eligibility)
        filters = tuple(str(one) for one in eligibility.filters)
        return Answer(asked, k, request, ranked, rows, filters, (*notes, *more), shortfall)

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


def training_purchases(corpus: Corpus) -> NDArray[np.int64]:
    """int64 ``(N,)``: how often each item of ``corpus.items`` was bought in what may be learned from."""
    bought = corpus.histories.select(pl.col(c.ITEMS).list.head(pl.col(c.TRAIN_END)).explode().drop_nulls())[c.ITEMS]
    return np.bincount(bought.to_numpy(), minlength=corpus.n_items).astype(np.int64)


def _check_codebook(run: Run) -> None:
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
