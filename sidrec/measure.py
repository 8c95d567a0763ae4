"""Decode what the evaluation needs, hand it to the ``evaluate`` room, and store the report.

Every system answers the same samples: the next purchase of every user with a test purchase, and the 11 tasks drawn before
training (``4-conversations/test.parquet``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidrec import columns as c
from sidrec import evaluate, storage
from sidrec.artifacts import verified_manifest, write_file, write_json
from sidrec.ask.answer import Answerer
from sidrec.ask.options import Options
from sidrec.config import EVALUATED_TASKS
from sidrec.embed import load_encoder
from sidrec.evaluate import COPURCHASE, MODEL, SID_TO_TEXT, TASK_K, TEXT_TO_SID
from sidrec.log import say
from sidrec.pipeline import Run
from sidrec.recommend import generate_text
from sidrec.types import Corpus, Metric, Ranked, TaskSample, TextEncoder

_TEXT_OF = {"title": c.TITLE, "description": c.DESCRIPTION, "features": c.FEATURES}


def measure(run: Run, folder: Path) -> None:
    """Write ``metrics.json``, ``per_user.parquet``, ``report.html`` and each picture with its CSV into ``folder``."""
    answerer = Answerer.open(run, live=False)
    corpus = answerer.corpus
    baselines = evaluate.Baselines.fit(
        corpus.histories_until("train"), answerer.codes, corpus.cold, storage.load_vectors(run.checked("embed"))
    )
    next_item = _next_item(answerer, baselines)
    rows = evaluate.next_item_metrics(next_item, run.config.evaluate.cutoffs, run.config.seed)
    samples = storage.load_samples(run.checked("converse"))
    encoder = load_encoder(run.folder("embed"), run.config.embed)
    for task in EVALUATED_TASKS:
        rows += _task(answerer, baselines, encoder, task, [s for s in samples if s.task == task])
    metrics = evaluate.as_json(rows, _facts(run, corpus))
    write_json(folder / "metrics.json", metrics)
    evaluate.per_user(next_item).write_parquet(folder / "per_user.parquet")
    inputs = evaluate.ReportInputs(
        metrics=metrics,
        customers=evaluate.pick_customers(next_item, corpus.items[c.TITLE].to_list(), run.config.seed),
        training=_training_rows(run),
        health=json.loads((run.folder("quantize") / "health.json").read_bytes()),
        dropped=corpus.dropped,
        config=run.config.model_dump(mode="json"),
        versions=verified_manifest(run.path, "train-full").versions,
    )
    for name, data in evaluate.report_files(inputs).items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_file(folder / name, data)


def _facts(run: Run, corpus: Corpus) -> evaluate.RunFacts:
    return evaluate.RunFacts(
        run=run.config.name,
        seed=run.config.seed,
        items=corpus.n_items,
        cold_items=int(corpus.cold.sum()),
        customers=corpus.histories.height,
        purchases=int(corpus.histories[c.ITEMS].list.len().sum()),
        split=run.config.ingest.split,
        exclude_seen=run.config.recommend.exclude_seen,
        beams=run.config.evaluate.beams,
    )


def _training_rows(run: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for command in ("train-vocabulary", "train-full"):
        lines = (run.folder(command) / "metrics.jsonl").read_text("utf-8").splitlines()
        rows += [json.loads(line) for line in lines]
    return rows


def _next_item(answerer: Answerer, baselines: evaluate.Baselines) -> evaluate.NextItemOutcome:
    config, seed = answerer.run.config, answerer.run.config.seed
    cases = answerer.corpus.next_item_cases("test")
    limit = config.evaluate.max_users
    if limit and limit < len(cases):
        chosen = np.sort(np.random.default_rng([seed, 8]).choice(len(cases), limit, replace=False))
        cases = [cases[int(i)] for i in chosen]
    say(f"  next purchase of {len(cases):,} users, {config.evaluate.beams} beams")
    histories = [case.history for case in cases]
    truth = np.asarray([case.target for case in cases], dtype=np.int32)
    k = max(*config.evaluate.cutoffs, TASK_K)
    exclude = config.recommend.exclude_seen
    ranked = answerer.rank_histories(histories, k, Options(beams=config.evaluate.beams, exclude_seen=exclude))
    return evaluate.NextItemOutcome(
        users=[case.user for case in cases],
        histories=histories,
        truth=truth,
        cold=answerer.corpus.cold[truth],
        ranked={MODEL: _padded(ranked, k), **baselines.next_item(histories, k, exclude)},
        exclude_seen=exclude,
    )


def _task(
    answerer: Answerer, baselines: evaluate.Baselines, encoder: TextEncoder, task: str, samples: Sequence[TaskSample]
) -> list[Metric]:
    if not samples:
        say(f"  {task}: no data")
        return []
    say(f"  {task}: {len(samples):,} samples")
    if task in SID_TO_TEXT:
        return evaluate.text_metrics(_text_outcome(answerer, task, samples), baselines)
    return evaluate.sid_metrics(_sid_outcome(answerer, baselines, encoder, task, samples), baselines)


def _sid_outcome(
    answerer: Answerer, baselines: evaluate.Baselines, encoder: TextEncoder, task: str, samples: Sequence[TaskSample]
) -> evaluate.SidOutcome:
    prompts = [answerer.renderer.prompt(sample.messages) for sample in samples]
    config = answerer.run.config
    # A co-purchase pair never repeats an item, so the shown one is left out, as it is for the baselines.
    exclude = [list(sample.history) for sample in samples] if task in COPURCHASE else None
    ranked = answerer.recommender.rank(
        prompts, TASK_K, config.evaluate.beams, exclude=exclude, batch_size=config.recommend.batch_size
    )
    vocabulary = answerer.renderer.vocabulary
    free = generate_text(
        answerer.model, prompts, vocabulary.levels + 3, answerer.renderer.turn_end_id, config.recommend.batch_size
    )
    read = [vocabulary.codes_of_ids(ids) for ids in free]
    known = set(map(tuple, answerer.codes.codes.tolist()))
    nothing = (-1,) * vocabulary.levels
    truth = np.asarray([sample.item_index for sample in samples], dtype=np.int32)
    queries = encoder.encode(_shown_texts(answerer.corpus, task, truth)) if task in TEXT_TO_SID else None
    return evaluate.SidOutcome(
        task=task,
        truth=truth,
        cold=np.asarray([sample.cold for sample in samples]),
        greedy_codes=np.asarray([codes or nothing for codes in read], dtype=np.int32),
        valid=np.asarray([codes in known for codes in read]),
        ranked=_padded(ranked, TASK_K),
        baselines=baselines.sid_task(task, [sample.history for sample in samples], queries),
    )


def _text_outcome(answerer: Answerer, task: str, samples: Sequence[TaskSample]) -> evaluate.TextOutcome:
    prompts = [answerer.renderer.prompt(sample.messages) for sample in samples]
    config, stop = answerer.run.config, answerer.renderer.turn_end_id
    free = generate_text(answerer.model, prompts, config.evaluate.text_tokens, stop, config.recommend.batch_size)
    return evaluate.TextOutcome(
        task=task,
        truth=np.asarray([sample.item_index for sample in samples], dtype=np.int32),
        cold=np.asarray([sample.cold for sample in samples]),
        generated=[answerer.renderer.tokenizer.decode(ids, skip_special_tokens=True) for ids in free],
        references=[sample.reference for sample in samples],
        item_texts=_shown_texts(answerer.corpus, task, np.arange(answerer.corpus.n_items)),
    )


def _shown_texts(corpus: Corpus, task: str, items: NDArray[np.integer]) -> list[str]:
    """The title, description or features that a task is about."""
    column = next(name for word, name in _TEXT_OF.items() if word in task)
    texts = corpus.items[column].to_list()
    return [". ".join(texts[i]) if column == c.FEATURES else texts[i] for i in items.tolist()]


def _padded(ranked: Sequence[Ranked], k: int) -> NDArray[np.int32]:
    """int32 ``(B, k)``, -1 where fewer were eligible."""
    rows = np.full((len(ranked), k), -1, dtype=np.int32)
    for row, answer in zip(rows, ranked, strict=True):
        row[: len(answer.items)] = answer.items[:k]
    return rows
