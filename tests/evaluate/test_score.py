"""Outcomes to figures: every sample counted once, cold apart from warm, nothing measured never zero."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from sidrec import columns as c
from sidrec.errors import DataError
from sidrec.evaluate import (
    MODEL,
    Baselines,
    NextItemOutcome,
    RunFacts,
    SidOutcome,
    TextOutcome,
    as_json,
    next_item_metrics,
    per_user,
    sid_metrics,
    text_metrics,
)
from sidrec.evaluate.figures import Figures, verdict
from sidrec.evaluate.score import FEWEST, chance
from sidrec.evaluate.suite import CHANCE, CONSTANT, NEAREST_CODE, POPULARITY
from sidrec.types import ItemCodes, ItemVectors, Metric
from tests.evaluate.stand_in import Shop

FACTS = RunFacts("r", 0, 6, 1, 3, 9, "leave-last-out", False, 10)
CODES = ItemCodes(np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0]], dtype=np.int32), (3, 2, 2))


def suite() -> Baselines:
    """Six items, of which the last is cold; item 3 is bought most."""
    histories = [np.array(h, dtype=np.int32) for h in ([0, 3], [3, 1], [3, 0])]
    return Baselines.fit(histories, CODES, np.arange(6) == 5, ItemVectors(np.eye(6, dtype=np.float32)))


def value(rows: list[Metric], metric: str, system: str = MODEL, segment: str = "all") -> float:
    found = [row.value for row in rows if (row.metric, row.system, row.segment) == (metric, system, segment)]
    assert len(found) == 1, (metric, system, segment)
    return found[0]


def sid_outcome() -> SidOutcome:
    """Four samples: all right; right to AB; nothing readable; a cold item, right to A."""
    return SidOutcome(
        task="seq_last_2",
        truth=np.array([0, 1, 2, 5], dtype=np.int32),
        cold=np.array([False, False, False, True]),
        greedy_codes=np.array([[0, 0, 0], [0, 0, 0], [-1, -1, -1], [2, 1, 1]], dtype=np.int32),
        valid=np.array([True, True, False, False]),
        ranked=np.array([[0, 1], [0, 1], [3, 4], [-1, -1]], dtype=np.int32),
        baselines={POPULARITY: np.array([[3, 0]] * 4, dtype=np.int32)},
    )


def test_a_task_that_asks_for_an_item_by_hand() -> None:
    rows = sid_metrics(sid_outcome(), suite())
    assert [value(rows, f"accuracy_{p}") for p in ("A", "AB", "ABC")] == [3 / 4, 2 / 4, 1 / 4]
    assert value(rows, "invalid") == 2 / 4
    assert value(rows, "hit@10") == 2 / 4
    assert value(rows, "ndcg@10") == pytest.approx((1 + 1 / math.log2(3)) / 4)
    assert value(rows, "A_hit@10") == 2 / 4
    # popularity says item 3 (codes 1 0 0), then item 0: right once, never with its first
    assert [value(rows, name, POPULARITY) for name in ("accuracy_A", "hit@10", "A_hit@10")] == [0, 1 / 4, 3 / 4]
    # of six training purchases three have code 0 and three code 1: a tie, the lower code first; code 2 was never bought
    assert [value(rows, name, CONSTANT) for name in ("accuracy_A", "A_hit@10")] == [3 / 4, 3 / 4]
    assert value(rows, "hit@10", CHANCE) == 1.0  # six items fit into ten


def test_warm_and_cold_are_told_apart() -> None:
    rows = sid_metrics(sid_outcome(), suite())
    assert (value(rows, "accuracy_A", segment="warm"), value(rows, "accuracy_A", segment="cold")) == (2 / 3, 1.0)
    assert (value(rows, "invalid", segment="warm"), value(rows, "invalid", segment="cold")) == (1 / 3, 1.0)
    assert {row.segment: row.n for row in rows} == {"all": 4, "warm": 3, "cold": 1}


def test_an_item_with_the_same_learned_codes_is_no_hit() -> None:
    """Items 0 and 1 differ in the tie level alone; 7 % of a published system's targets are such items."""
    twins = replace(sid_outcome(), ranked=np.array([[1, -1], [0, -1], [-1, -1], [-1, -1]], dtype=np.int32))
    assert value(sid_metrics(twins, suite()), "hit@10") == 0


def test_chance_equals_drawing() -> None:
    shop = Shop(n_items=80, n_users=20)
    truth = np.arange(0, 80, 7, dtype=np.int32)
    expected = chance(shop.codes.codes, truth)
    rng = np.random.default_rng(0)
    drawn = np.argsort(rng.random((40_000, 80)), axis=1)[:, :10]
    for at, item in enumerate(truth.tolist()):
        same = shop.codes.codes[drawn, 0] == shop.codes.codes[item, 0]
        assert same[:, 0].mean() == pytest.approx(expected["accuracy_A"][at], abs=0.01)
        assert same.any(axis=1).mean() == pytest.approx(expected["A_hit@10"][at], abs=0.01)
    assert expected["hit@10"].tolist() == [10 / 80] * len(truth)
    assert (drawn == 5).any(axis=1).mean() == pytest.approx(10 / 80, abs=0.01)


def next_item(n: int = 40) -> NextItemOutcome:
    """The model is right at rank 2 for every second user; popularity always at rank 3."""
    truth = np.full(n, 5, dtype=np.int32)
    model = np.array([[0, 5, 1], [0, 2, 1]] * (n // 2), dtype=np.int32).reshape(n, 3)
    popularity = np.array([[3, 4, 5]] * n, dtype=np.int32).reshape(n, 3)
    users = [f"u{i}" for i in range(n)]
    return NextItemOutcome(users, [(1, 2)] * n, truth, np.arange(n) % 4 == 0, {MODEL: model, POPULARITY: popularity}, False)


def test_next_item_by_hand() -> None:
    rows = next_item_metrics(next_item(), (2, 3), seed=0)
    assert (value(rows, "recall@2"), value(rows, "recall@3"), value(rows, "mrr@3")) == (0.5, 0.5, 0.25)
    assert value(rows, "ndcg@2") == pytest.approx(0.5 / math.log2(3))
    assert (value(rows, "recall@2", POPULARITY), value(rows, "recall@3", POPULARITY)) == (0, 1)
    assert value(rows, "recall@3_lead_over_popularity") == -0.5
    assert (value(rows, "recall@3", segment="cold"), value(rows, "recall@3", segment="warm")) == (1.0, 1 / 3)


def test_intervals_hold_the_value_and_are_left_out_for_few_users() -> None:
    rows = next_item_metrics(next_item(), (2, 3), seed=0)
    for row in rows:
        if row.segment == "all":
            assert row.extra["low"] - 1e-9 <= row.value <= row.extra["high"] + 1e-9
        elif row.n < FEWEST:
            assert row.extra == {}
    assert rows == next_item_metrics(next_item(), (2, 3), seed=0)
    lead = next(row for row in rows if row.metric == "recall@3_lead_over_popularity")
    assert lead.extra["high"] < 0


def test_no_users_is_no_data() -> None:
    rows = next_item_metrics(next_item(0), (2,), seed=0)
    assert all(math.isnan(row.value) and row.n == 0 for row in rows)
    figures = Figures.from_json(as_json(rows, FACTS))
    assert verdict(figures) == ("There was no next purchase to predict: no data.", "")


@pytest.mark.parametrize(
    ("right", "said"),
    [(0.9, "The model is ahead of the best baseline, popularity, by 60.0 points"), (0.3, "cannot be told apart"),
     (0.1, "The model is behind the best baseline, popularity, by 20.0 points")],
)  # fmt: skip
def test_the_verdict_falls_either_way(right: float, said: str) -> None:
    def lists(share: float) -> np.ndarray:
        hit = np.arange(200) < share * 200
        return np.where(hit[:, None], [[5, 0]], [[1, 0]]).astype(np.int32)

    truth = np.full(200, 5, dtype=np.int32)
    ranked = {MODEL: lists(right), POPULARITY: lists(0.3)[::-1]}
    outcome = NextItemOutcome(["u"] * 200, [()] * 200, truth, np.zeros(200, dtype=bool), ranked, False)
    sentence, detail = verdict(Figures.from_json(as_json(next_item_metrics(outcome, (2,), seed=0), FACTS)))
    share = f"{100 * right:.1f} %"
    assert sentence == f"On next purchase the model finds {share} of the true items in its top 2; popularity 30.0 %."
    assert said in detail


def test_few_users_get_no_interval_in_words_either() -> None:
    _, detail = verdict(Figures.from_json(as_json(next_item_metrics(next_item(10), (2,), seed=0), FACTS)))
    assert detail == "10 customers are too few for an interval: the difference to popularity may be luck."


def test_lists_too_short_for_a_cut_off_are_refused() -> None:
    with pytest.raises(DataError, match=r"lists of 3 items cannot be measured at 10; set evaluate\.beams to 10"):
        next_item_metrics(next_item(), (5, 10), seed=0)


def test_systems_must_rank_lists_of_one_length() -> None:
    outcome = next_item()
    with pytest.raises(DataError, match="different lengths"):
        replace(outcome, ranked={**outcome.ranked, "other": outcome.ranked[MODEL][:, :2]})


def test_missing_rows_are_named() -> None:
    with pytest.raises(DataError, match="seq_last_2: 4 truths, but 3 rows of popularity"):
        replace(sid_outcome(), baselines={POPULARITY: np.zeros((3, 2), dtype=np.int32)})


def test_per_user_holds_the_rank_for_each_system() -> None:
    frame = per_user(next_item(4))
    assert frame.columns == [c.USER, "target", "cold", "rank_model", "rank_popularity"]
    assert frame["rank_model"].to_list() == [2, 0, 2, 0]
    assert frame["rank_popularity"].to_list() == [3, 3, 3, 3]


def text_outcome() -> TextOutcome:
    texts = ["red cat toy", "red dog toy", "", "blue bed", "green bed", "new thing"]
    truth = np.array([0, 4, 5], dtype=np.int32)
    references = [texts[i] for i in truth.tolist()]
    return TextOutcome("sid_to_title", truth, np.array([False, False, True]), ["red cat toy", "bed", ""], references, texts)


def test_a_task_that_asks_for_text_by_hand() -> None:
    rows = text_metrics(text_outcome(), suite())
    assert value(rows, "exact") == 1 / 3
    assert value(rows, "rouge_l") == pytest.approx((1 + 2 / 3 + 0) / 3)  # "bed" in "green bed": p = 1, r = 1/2
    # neighbours: item 1 for item 0 (2 of 3 words), item 3 for item 4 (1 of 2), item 0 for the cold one (none)
    assert value(rows, "rouge_l", NEAREST_CODE) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert value(rows, "rouge_l", segment="cold") == 0


def test_texts_of_another_catalogue_are_refused() -> None:
    with pytest.raises(DataError, match="5 item texts for 6 items"):
        text_metrics(replace(text_outcome(), item_texts=["x"] * 5), suite())


def test_nothing_measured_is_null_in_json() -> None:
    none = np.empty(0, dtype=np.int32)
    empty = SidOutcome("title_to_sid", none, none.astype(bool), none.reshape(0, 3), none.astype(bool), none.reshape(0, 10))
    rows = sid_metrics(empty, suite()) + sid_metrics(sid_outcome(), suite())
    document = json.loads(json.dumps(as_json(rows, FACTS), allow_nan=False))
    assert {row["value"] for row in document["rows"] if row["task"] == "title_to_sid"} == {None}
    figures = Figures.from_json(document)
    assert figures.n("title_to_sid") == 0 and figures.value("title_to_sid", "hit@10") is None
    assert figures.value("seq_last_2", "hit@10") == 0.5


def test_json_there_and_back() -> None:
    rows = next_item_metrics(next_item(), (2, 3), seed=0)
    assert Figures.from_json(json.loads(json.dumps(as_json(rows, FACTS)))).rows == tuple(rows)
