"""``sidrec doctor``: everything that ``ingest`` would do, counted and reported instead of refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from sidrec import columns as c
from sidrec.config import IngestConfig
from sidrec.errors import DataError
from sidrec.ingest.checks import of_histories, of_items, of_times
from sidrec.ingest.clean import clean_interactions, clean_items
from sidrec.ingest.problems import Problem, Severity, of_dropped
from sidrec.ingest.raw import RawTables
from sidrec.ingest.rows import join_dropped
from sidrec.ingest.sources import read_source
from sidrec.ingest.stage import check_config, corpus_of, filtered, require_interactions, require_items, untimed
from sidrec.types import Corpus

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is in the tables, and what is wrong with them; errors stand before warnings, warnings before notes.

    ``counts``: numbers of rows, items and customers, quantiles of lengths, shares of items that have a field. What
    could not be counted because of an error is missing from it.
    """

    source: str
    files: tuple[str, ...]
    counts: dict[str, int | float]
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """No error: ``ingest`` will accept these tables."""
        return all(problem.severity != "error" for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists, texts and numbers."""
        return asdict(self) | {"files": list(self.files), "problems": [asdict(problem) for problem in self.problems]}


def inspect(config: IngestConfig, seed: int) -> Inspection:
    """Read everything and report; nothing is written or trained.

    Raises:
        ConfigError: settings that cannot go together. What is wrong with the data is reported, not raised.
    """
    check_config(config)
    try:
        raw = read_source(config, seed)
    except DataError as error:
        return _report(config, (), {}, [_error("unreadable", str(error))])
    counts: dict[str, int | float] = {"item_rows": raw.items_source.rows, "interaction_rows": raw.interactions_source.rows}
    problems: list[Problem] = []
    try:
        _examine(config, seed, raw, counts, problems)
    except DataError as error:
        problems.append(_error("nothing_left", str(error)))
    return _report(config, (raw.items_source.path, raw.interactions_source.path), counts, problems)


def _report(
    config: IngestConfig, files: tuple[str, ...], counts: dict[str, int | float], problems: list[Problem]
) -> Inspection:
    ordered = sorted(problems, key=lambda problem: _ORDER.index(problem.severity))
    return Inspection(config.source, files, counts, tuple(ordered))


def _error(reason: str, sentence: str) -> Problem:
    return Problem("error", reason, 1, "", None, sentence, "")


def _examine(config: IngestConfig, seed: int, raw: RawTables, counts: dict[str, int | float], problems: list[Problem]) -> None:
    """Fill ``counts`` and ``problems`` as far as it goes; raises DataError where nothing is left."""
    complaints = [source.too_many_bad(config.max_bad_share) for source in (raw.items_source, raw.interactions_source)]
    problems += [_error("too_many_malformed_rows", complaint) for complaint in complaints if complaint]
    items = clean_items(raw, config)
    problems += of_dropped(items.dropped)
    problems += of_items(raw, items.frame, config)
    require_items(raw, items)
    log = clean_interactions(raw, items)
    problems += of_dropped(log.dropped)
    require_interactions(raw, items, log)
    if complaint := untimed(config, raw):
        problems.append(_error("times_cannot_be_compared", complaint))
        config = config.model_copy(update={"split": "leave-last-out"})  # so that the rest can still be counted
    problems += of_times(raw)
    kept = filtered(raw, items, log, config, seed)
    problems += of_dropped(kept.dropped)
    corpus = corpus_of(kept, join_dropped([items.dropped, log.dropped, kept.dropped]), config, seed)
    counts.update(_counts(corpus))
    problems += of_histories(corpus, config)


def _counts(corpus: Corpus) -> dict[str, int | float]:
    items, histories = corpus.items, corpus.histories
    lengths = histories[c.ITEMS].list.len().to_numpy()
    counts: dict[str, int | float] = {
        "items": items.height,
        "users": histories.height,
        "interactions": int(lengths.sum()),
        "cold_items": int(corpus.cold.sum()),
        "bought_items": histories[c.ITEMS].explode().n_unique(),
        "users_with_validation_case": len(corpus.next_item_cases("valid")),
        "users_with_test_case": len(corpus.next_item_cases("test")),
        **_quantiles("history_length", lengths),
    }
    for name in (c.TITLE, c.DESCRIPTION):
        chars = items[name].str.len_chars()
        counts |= _quantiles(f"{name}_chars", chars.filter(chars > 0).to_numpy())
    for name in (c.DESCRIPTION, c.BRAND):
        counts[f"share_with_{name}"] = _share(items[name] != "")
    for name in (c.FEATURES, c.CATEGORY):
        counts[f"share_with_{name}"] = _share(items[name].list.len() > 0)
    counts[f"share_with_{c.PRICE}"] = _share(items[c.PRICE].is_not_null())
    for kind in ("item", "interaction", "user"):
        counts[f"dropped_{kind}s"] = int((corpus.dropped[c.KIND] == kind).sum())
    return counts


def _share(has: pl.Series) -> float:
    return float(has.to_numpy().mean()) if len(has) else 0.0


def _quantiles(name: str, values: np.ndarray[Any, np.dtype[Any]]) -> dict[str, int | float]:
    if not len(values):
        return {}
    at = {"min": 0.0, "median": 0.5, "p90": 0.9, "max": 1.0}
    return {f"{name}_{q}": int(np.quantile(values, share, method="lower")) for q, share in at.items()} | {
        f"{name}_mean": float(values.mean())
    }
