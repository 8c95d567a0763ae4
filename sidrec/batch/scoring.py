"""Recommend to everybody: histories in shards -> ``7-recommendations``, a Parquet part a shard.

A part is a pure function of its shard, the model and the config: the same bytes however many workers share the shards, in
whichever order, and however often the work was killed. Decoding in batches rounds with the batch it is in; so batches are cut
inside a shard (of similar length together), and each worker computes with one thread.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec import storage
from sidrec.artifacts import hash_file
from sidrec.ask.answer import check_codebook
from sidrec.ask.conditions import Conditions
from sidrec.ask.options import DEFAULTS, Options
from sidrec.ask.prompting import HistoryPrompts
from sidrec.batch.parts import Part, close_parts, read_part, save_part, take_over, whole_parts
from sidrec.batch.rate import Rate
from sidrec.batch.users import Users
from sidrec.batch.workers import Opener, in_processes, in_this_process
from sidrec.catalogue.live import FOLDER, content, open_catalogue
from sidrec.config import Engine, RecommendConfig
from sidrec.errors import ConfigError, DataError
from sidrec.log import muted_progress, progress, say
from sidrec.pipeline import Run, renderer_for
from sidrec.recommend import Recommender, load_model, resolve_device
from sidrec.types import Request

EXTRAPOLATED_USERS = 600_000
CATALOGUE = ".catalogue"  # the codes of the version that all workers answer from, however long they take


@dataclass(frozen=True, slots=True)
class Batch:
    """Who is recommended what, and by whom the work is done, which changes no byte. ``None`` and "": as the config says.

    ``users``: a file of users and histories (``ingest.read_users``); ``None``: the run's own log. ``options`` are the same
    for all of them.
    """

    k: int | None = None
    users: Path | None = None
    options: Options = DEFAULTS
    workers: int = 1
    engine: Engine = "local"

    def config(self, run: Run) -> RecommendConfig:
        """The run's, with what is asked for here."""
        asked = {"k": self.k, "exclude_seen": self.options.exclude_seen, "beams": self.options.beams}
        return run.config.recommend.model_copy(update={name: value for name, value in asked.items() if value is not None})

    def settings(self, run: Run) -> dict[str, Any]:
        """All that decides the result, but for the contents of ``sources``."""
        file = {} if self.users is None else {"users": self.users.name}
        return self.config(run).model_dump(mode="json") | self.options.changed() | file

    def sources(self, run: Run) -> dict[str, str]:
        """Name -> hash of what is read beside the run's own stages."""
        found = {} if self.users is None else {self.users.name: hash_file(self.users)}
        return found | ({FOLDER: grown} if (grown := content(run)) else {})


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What every worker needs.

    ``eligible``: bool ``(N,)``, items that may be recommended to anybody; ``None``: all. ``purchases``, int64 ``(N,)``: what
    orders items of equal score, as in ``Answerer``.
    """

    run: Run
    config: RecommendConfig
    users: Users
    folder: Path
    options: Options = DEFAULTS
    eligible: NDArray[np.bool_] | None = None
    purchases: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """A model opened to score shards; made by ``open`` in the worker itself."""

    job: Job
    item_ids: pl.Series
    prompts: HistoryPrompts
    recommender: Recommender

    @classmethod
    def open(cls, job: Job, worker: int) -> Scorer:
        """The hashes of the artefacts have been checked before, once for all workers."""
        torch.set_num_threads(1)
        device = resolve_device(job.config.device)
        if device == "cuda":
            device = f"cuda:{worker % torch.cuda.device_count()}"
        catalogue = job.folder / CATALOGUE
        codes = storage.load_codes(catalogue)
        model, tokenizer = load_model(job.run.folder("train-full"), device, job.config.dtype)
        renderer = renderer_for(tokenizer.backend_tokenizer, codes.sizes)
        most, context = job.run.config.converse.max_history_items, int(model.config.max_position_embeddings)
        prompts = HistoryPrompts(renderer, codes, most, context)
        recommender = Recommender(model, renderer.vocabulary, codes, popularity=job.purchases)
        return cls(job, storage.load_item_ids(catalogue), prompts, recommender)

    def __call__(self, shard: int) -> None:
        """Score one shard and write its part."""
        config, options = self.job.config, self.job.options
        users, histories = self.job.users.read(shard)
        requests = [
            Request(self.prompts(history), history if config.exclude_seen else (), self.job.eligible, options.caps)
            for history in histories
        ]
        with muted_progress():  # the bar of all users is enough
            answers = self.recommender.answer(requests, config.k, config.beams, options.exact, batch_size=config.batch_size)
        frame = storage.recommendations_frame(users, answers, self.item_ids)
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        save_part(
            self.job.folder,
            shard,
            buffer.getvalue(),
            users=len(users),
            rows=frame.height,
            short=sum(len(answer.items) < config.k for answer in answers),
            new=sum(not history for history in histories),
            exact=sum(answer.exact for answer in answers),
        )


def score_users(run: Run, batch: Batch, folder: Path) -> None:
    """Recommend to all users of a batch, into ``folder``, where a killed run may have left finished parts.

    Raises:
        DataError: there are no users, or their file cannot be used.
        ConfigError, ArtifactError, MissingExtraError: see ``score``.
    """
    config = batch.config(run)
    check_codebook(run)
    now = open_catalogue(run)
    item_ids = now.items[c.ITEM_ID]
    (folder / CATALOGUE).mkdir(exist_ok=True)
    storage.save_codes(folder / CATALOGUE, now.codes, item_ids.to_list())
    if batch.users is None:
        users = Users.of_corpus(run.folder("ingest") / "histories.parquet", config.users_per_part)
    else:
        users = Users.of_file(batch.users, item_ids, config.users_per_part, folder, batch.options.unknown_items)
    purchases = storage.count_training_purchases(run.folder("ingest"), now.items.height)
    conditions = Conditions.of(now.items, purchases, now.registry.offered())
    eligibility, notes = conditions.eligibility(batch.options)
    for note in notes:
        say(f"  {note}")
    mask = eligibility.mask
    if mask is not None and not mask.any():
        raise DataError(f"nobody can be recommended anything: {eligibility.why_so_few()}")
    score(Job(run, config, users, folder, batch.options, mask, purchases), batch.workers, batch.engine)


def score(job: Job, workers: int = 1, engine: Engine = "local") -> None:
    """Score every shard that ``job.folder`` does not hold yet, and close the folder.

    Raises:
        ConfigError: no worker.
        ArtifactError: a worker died; what is finished is kept.
        MissingExtraError: ``engine="ray"`` without the extra ``ray``.
    """
    if workers < 1:
        raise ConfigError(f"--num-workers is at least 1, found {workers}")
    take_over(job.run.folder("recommend"), job.folder, job.users.shards)
    parts = whole_parts(job.folder, job.users.shards)
    left = [shard for shard in range(job.users.shards) if shard not in parts]
    if parts:
        say(f"  {len(parts):,} of {job.users.shards:,} parts are there already")
    rate = Rate(min(workers, len(left)))
    with progress("users", sum(map(job.users.height, left))) as bar:
        for shard in _engine(job, workers, engine)(left):
            parts[shard] = read_part(job.folder, shard)
            rate.add(parts[shard].users)
            bar.advance(parts[shard].users, f"{rate.per_second:,.0f} users/s")
    close_parts(job.folder, parts)
    _report(job.config.k, list(parts.values()))
    if left:
        say(f"  {rate.sentence('users', EXTRAPOLATED_USERS)}")


def _engine(job: Job, workers: int, engine: Engine) -> Callable[[Sequence[int]], Iterator[int]]:
    opener = partial(Scorer.open, job)
    if engine == "ray":
        from sidrec.batch.onray import on_ray

        return partial(on_ray, opener, count=workers, gpus=job.config.device != "cpu")
    return partial(in_processes, opener, count=workers) if workers > 1 else partial(_here, opener)


def _here(opener: Opener, tasks: Sequence[int]) -> Iterator[int]:
    threads = torch.get_num_threads()
    try:
        yield from in_this_process(opener, tasks)
    finally:
        torch.set_num_threads(threads)


def _report(k: int, parts: Sequence[Part]) -> None:
    users, exact = sum(part.users for part in parts), sum(part.exact for part in parts)
    short, new = sum(part.short for part in parts), sum(part.new for part in parts)
    say(
        f"  {k} items for each of {users:,} users; {exact / users:.0%} provably the exact top {k}"
        + (f"; fewer eligible for {short:,}" if short else "")
        + (f"; what a customer buys first for {new:,} without a purchase" if new else "")
    )
