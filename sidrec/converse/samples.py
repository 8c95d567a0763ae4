"""The evaluation samples of the 11 tasks, drawn before any training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sidrec.config import EVALUATED_TASKS, ConverseConfig
from sidrec.converse.mixture import generator, held_out_order, view_of
from sidrec.converse.registry import TASK_SPECS
from sidrec.converse.shop import Shop
from sidrec.converse.spec import TaskSpec, View
from sidrec.types import Corpus, ItemCodes, TaskSample


def test_samples(corpus: Corpus, codes: ItemCodes, config: ConverseConfig, seed: int) -> Iterator[TaskSample]:
    """``config.test_per_task`` samples (0: all) of each evaluated task that has data, whatever its training weight.

    All are in held-out wordings. Text tasks: up to half of the samples are cold items, whose text was in nothing that
    learned; the rest are warm items, which were trained on in other wordings. A cold item whose very text (title for
    title tasks, and so on) a warm item has too is left out: it would not be unseen. ``seq_last_n``: a user's first test
    purchase after the last n purchases before it. Co-purchase: a test purchase and another item at most
    ``config.window`` places before it; the pair may occur in training through other users. ``cold`` tells of every
    sample whether its item is cold.

    Raises:
        DataError: corpus and codes do not belong together.
    """
    shop = Shop(corpus, codes)
    view = view_of(shop, config, "test")
    for name in EVALUATED_TASKS:
        spec = TASK_SPECS[name]
        rows = _drawn(spec, view, config.test_per_task, seed)
        wordings = generator(seed, f"test/{name}").integers(len(spec.held_out), size=len(rows)).tolist()
        for row, wording in zip(rows.tolist(), wordings, strict=True):
            example = spec.build(shop, row, 0)
            yield TaskSample(
                name,
                (spec.question(spec.held_out[wording], example.about),),
                example.item_index,
                reference="" if spec.asks_for_item else example.answer,
                history=example.history,
                cold=shop.cold[example.item_index],
            )


test_samples.__test__ = False  # type: ignore[attr-defined]  # pytest collects by name; this is no test


def _drawn(spec: TaskSpec, view: View, count: int, seed: int) -> NDArray[np.int32]:
    rows = spec.rows(view)
    cold = _cold_rows(spec, view) if spec.field else rows[:0]
    if count:
        n_cold = min(len(cold), max(count // 2, count - len(rows)))
        cold = cold[np.sort(held_out_order(len(cold), seed)[:n_cold])]
        rows = rows[np.sort(held_out_order(len(rows), seed)[: count - n_cold])]
    return np.concatenate((rows, cold))


def _cold_rows(spec: TaskSpec, view: View) -> NDArray[np.int32]:
    texts: list[str] = getattr(view.shop, spec.field)
    seen = {texts[item] for item in view.items.tolist()}
    cold = [item for item, is_cold in enumerate(view.shop.cold) if is_cold and texts[item] not in seen]
    return spec.rows(replace(view, items=np.asarray(cold, dtype=np.int32)))
