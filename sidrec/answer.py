"""Open a finished run and answer requests: history, text, co-purchase or a known user in, catalogue items out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidrec import columns as c
from sidrec import converse, storage
from sidrec.catalogue import open_catalogue
from sidrec.errors import DataError
from sidrec.pipeline import Run, renderer_for
from sidrec.recommend import Recommender, load_model, resolve_device
from sidrec.render import Renderer
from sidrec.types import Corpus, ItemCodes, Message, Ranked

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Answer:
    """Ranked items with what a person and a script want to know of them."""

    asked: str
    k: int
    eligible: int
    rows: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """``items``: rank, item_id, title, sid, score (log-probability)."""
        return {"asked": self.asked, "k": self.k, "eligible": self.eligible, "items": list(self.rows)}

    def show(self, console: Console) -> None:
        """Print as a table; titles are untrusted and printed as they are, without markup."""
        console.print(Text(self.asked, style="bold"))
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("#", justify="right")
        table.add_column("item")
        table.add_column("title", ratio=1)
        table.add_column("log-prob.", justify="right")
        for row in self.rows:
            table.add_row(str(row["rank"]), Text(row["item_id"]), Text(row["title"]), f"{row['score']:.2f}")
        console.print(table)
        if len(self.rows) < self.k:
            console.print(Text(f"{self.k} were asked for; only {self.eligible} items are eligible.", style="yellow"))


@dataclass(frozen=True)
class Answerer:
    """A trained run, ready to recommend; made by ``Answerer.open``.

    ``corpus.items`` and ``codes`` are those of the live catalogue. ``offered``, bool ``(N,)``, are its items that are not
    retired: no answer holds another. ``None``: all are.
    """

    run: Run
    corpus: Corpus
    codes: ItemCodes
    model: PreTrainedModel
    renderer: Renderer
    recommender: Recommender
    offered: NDArray[np.bool_] | None = None

    @classmethod
    def open(cls, run: Run, *, live: bool = True) -> Answerer:
        """Check and load what answering needs; without ``live``, the catalogue that the model was trained on, whole.

        Raises:
            ArtifactError: a stage is missing or damaged; its command is named.
        """
        corpus = storage.load_corpus(run.checked("ingest"))
        codes = storage.load_codes(run.checked("quantize"))
        offered = None
        if live:
            now = open_catalogue(run)
            corpus, codes, offered = replace(corpus, items=now.items), now.codes, now.registry.offered()
        model, tokenizer = load_model(run.checked("train-full"), resolve_device(run.config.recommend.device))
        renderer = renderer_for(tokenizer.backend_tokenizer, codes.sizes)
        recommender = Recommender(model, renderer.vocabulary, codes)
        return cls(run, corpus, codes, model, renderer, recommender, None if offered is None or offered.all() else offered)

    def for_history(self, item_ids: Sequence[str], k: int, exclude_seen: bool | None = None) -> Answer:
        """The next purchase after these item ids, oldest first.

        Raises:
            DataError: an id is not in the catalogue, or there is none.
        """
        if not item_ids:
            raise DataError("the history is empty: give item ids, e.g. --history ID,ID")
        history = [self.item_index(item_id) for item_id in item_ids]
        ranked = self.rank_histories([history], k, exclude_seen=exclude_seen)[0]
        return self._answer(f"After {', '.join(item_ids)}", k, ranked)

    def for_user(self, user: str, k: int, exclude_seen: bool | None = None) -> Answer:
        """The next purchase of a customer of the log."""
        ranked = self.rank_histories([self.user_history(user)], k, exclude_seen=exclude_seen)[0]
        return self._answer(f"For customer {user}", k, ranked)

    def for_text(self, text: str, k: int) -> Answer:
        """Items for a shopper's sentence.

        Raises:
            DataError: the text is empty.
        """
        if not text.strip():
            raise DataError("the text to search for is empty: give a sentence, e.g. --text 'toy for a large dog'")
        return self._answer(f"For “{text.strip()}”", k, self._rank(converse.text_prompt(text.strip()), k))

    def for_item(self, item_id: str, k: int) -> Answer:
        """Items bought soon after an item, itself left out."""
        item = self.item_index(item_id)
        ranked = self._rank(converse.bought_with_prompt(self.codes, item), k, exclude=[item])
        return self._answer(f"Bought with {item_id} ({self.title(item)})", k, ranked)

    def rank_histories(
        self, histories: Sequence[Sequence[int]], k: int, *, beams: int | None = None, exclude_seen: bool | None = None
    ) -> list[Ranked]:
        """The next purchase of each history of item indices; defaults are the run's own config."""
        config = self.run.config.recommend
        exclude = config.exclude_seen if exclude_seen is None else exclude_seen
        return self.recommender.rank(
            [self.history_prompt(history) for history in histories],
            k,
            beams or config.beams,
            exclude=[list(history) for history in histories] if exclude else None,
            eligible=self.offered,
            batch_size=config.batch_size,
        )

    def history_prompt(self, history: Sequence[int]) -> list[int]:
        """Token ids of a purchase history, the latest ``converse.max_history_items`` of it."""
        shown = list(history)[-self.run.config.converse.max_history_items :]
        return self.renderer.prompt(converse.history_prompt(self.codes, shown))

    def item_index(self, item_id: str) -> int:
        """Row of an item id.

        Raises:
            DataError: no item has it.
        """
        found = self.corpus.items[c.ITEM_ID].index_of(item_id)
        if found is None:
            example = self.corpus.items[c.ITEM_ID][0]
            raise DataError(f"no item {item_id!r} in the catalogue of {self.run.path}; item ids look like {example!r}")
        return found

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

    def _rank(self, messages: tuple[Message, ...], k: int, exclude: Sequence[int] = ()) -> Ranked:
        beams = self.run.config.recommend.beams
        prompt = self.renderer.prompt(messages)
        return self.recommender.rank([prompt], k, beams, exclude=[list(exclude)], eligible=self.offered)[0]

    def _answer(self, asked: str, k: int, ranked: Ranked) -> Answer:
        rows = tuple(
            {
                "rank": rank,
                "item_id": str(self.corpus.items[c.ITEM_ID][item]),
                "title": self.title(item),
                "sid": str(self.renderer.vocabulary.spell(self.codes.codes[item])),
                "score": float(score),
            }
            for rank, (item, score) in enumerate(zip(ranked.items.tolist(), ranked.scores.tolist(), strict=True), start=1)
        )
        return Answer(asked, k, ranked.eligible, rows)
