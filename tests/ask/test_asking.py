"""Asking a run: conditions are never violated, answers say why they are as they are, and bad questions are one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from sidrec import columns as c
from sidrec import pipeline, storage
from sidrec.ask.answer import Answerer
from sidrec.ask.options import Options, id_list, parse_caps
from sidrec.ask.prompting import HistoryPrompts
from sidrec.batch.scoring import Batch
from sidrec.cli.app import app
from sidrec.config import QuantizeConfig
from sidrec.errors import ArtifactError, ConfigError, DataError, SidrecError
from tests.runs import make_run, write_stage

N = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Run:
    return make_run(tmp_path_factory.mktemp("asking") / "run", n_users=20, n_items=N)


@pytest.fixture(scope="module")
def answerer(run: pipeline.Run) -> Answerer:
    return Answerer.open(run)


@pytest.fixture(scope="module")
def ask(run: pipeline.Run) -> Callable[..., Result]:
    cli = CliRunner()
    return lambda *arguments: cli.invoke(app, ["recommend", "--run", str(run.path), *arguments])


def ids_of(answer: Any) -> list[str]:
    return [row["item_id"] for row in answer.rows]


ids = st.lists(st.sampled_from([f"P{i:03}" for i in range(N)]), max_size=12, unique=True)
FILTERS = {
    "price < 20": lambda row: row["price"] < 20,
    "category has 'cats' or brand = 'brand 1'": lambda row: "Cats" in row["category"] or row["brand"] == "Brand 1",
    "not title contains '3'": lambda row: "3" not in row["title"],
    "popularity >= 1": lambda row: row["popularity"] >= 1,
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(sorted(FILTERS)), max_size=2), st.one_of(st.none(), ids), ids, ids, st.booleans(),
    st.one_of(st.none(), st.sampled_from([2.0, 5.0, 6.5])), st.integers(1, 50),
)  # fmt: skip
def test_no_condition_is_violated_and_none_costs_a_result(
    answerer: Answerer, filters: list[str], allow: list[str] | None, deny: list[str], history: list[str], unseen: bool,
    bits: float | None, k: int,
) -> None:  # fmt: skip
    options = Options(
        filters=tuple(filters), allow=None if allow is None else tuple(allow), deny=tuple(deny), min_novelty=bits,
        exclude_seen=unseen, beams=50,
    )  # fmt: skip
    rows = {row["item_id"]: row for row in answerer.conditions.columns.frame.to_dicts()}
    expected = {
        item
        for item, row in rows.items()
        if all(FILTERS[text](row) for text in filters)
        and (allow is None or item in allow)
        and item not in deny
        and not (unseen and item in history)
        and (bits is None or row["novelty"] >= bits)
    }
    answer = answerer.for_history(history, k, options)
    found = ids_of(answer)
    assert (
        set(found) <= expected and len(set(found)) == len(found) == min(k, len(expected)) and answer.eligible == len(expected)
    )
    assert bool(answer.shortfall) == (len(found) < k)
    assert all(len(row["matched"]) >= len(filters) for row in answer.rows)


def test_a_row_says_what_it_is(answerer: Answerer) -> None:
    answer = answerer.for_text("thing", 3, Options(filters=("price < 30 and category has 'cats'",), exact=True))
    row = answer.rows[0]
    item = answerer.corpus.items.filter(pl.col(c.ITEM_ID) == row["item_id"]).row(0, named=True)
    assert row["matched"] == [
        {"condition": "price < 30", "column": "price", "value": item["price"]},
        {"condition": 'category has "cats"', "column": "category", "value": item["category"]},
    ]
    assert math.isclose(sum(row["levels"]), row["score"], rel_tol=1e-4) and len(row["levels"]) == 4
    assert row["probability"] == pytest.approx(math.exp(row["score"]))
    assert answer.certificate.startswith("Provably the 3 best items of the model") and answer.ranked.exact
    everything = answerer.for_text("thing", N, Options(beams=N))
    assert sum(row["probability"] for row in everything.rows) == pytest.approx(1.0, abs=1e-4)
    assert json.loads(json.dumps(everything.as_json()))["items"][0]["rank"] == 1


def test_a_narrow_search_says_that_nothing_is_proven(answerer: Answerer) -> None:
    answers = [answerer.for_text(text, 2, Options(beams=2)) for text in ("a", "b", "c", "d", "e", "f")]
    open_ = next(answer for answer in answers if not answer.ranked.exact)
    assert open_.certificate == "The best that 2 beams met, not proven to be the model's best; --exact widens the search."


def test_an_exact_search_that_stops_at_its_limit_says_so(answerer: Answerer) -> None:
    answer = answerer.for_text("x", 3, Options(exact=True))
    assert answer.certificate.startswith("Provably the 3 best items")
    stopped = replace(answer, ranked=replace(answer.ranked, exact=False, beams=1024))
    assert stopped.certificate.startswith("The best that 1,024 beams met, not proven")
    assert stopped.certificate.endswith("; the search widens no further.")


def test_contradictory_conditions_say_so(answerer: Answerer) -> None:
    answer = answerer.for_text("x", 5, Options(filters=("price < 5", "price > 9")))
    assert answer.rows == () and answer.certificate == ""
    assert answer.shortfall == "price < 5 leaves 5 of 40 items, price > 9 31; both together leave none"


def test_caps_spread_the_answer(answerer: Answerer) -> None:
    answer = answerer.for_text("x", 10, Options(caps={1: 2}))
    first = [row["sid"].split("|>")[1] for row in answer.rows]
    assert len(first) == 8 and all(first.count(code) == 2 for code in first)  # 4 codes of level A, two items each
    assert answer.shortfall.startswith("the caps on shared prefixes leave room for no more of 40 items")


def test_unknown_items_are_refused_by_name_or_dropped(answerer: Answerer) -> None:
    with pytest.raises(DataError, match=r"no items 'nope', 'x' in the catalogue, but in the history; .* look like 'P000'"):
        answerer.for_history(["nope", "P001", "x"], 3)
    dropped = answerer.for_history(["nope", "P001", "x"], 3, Options(unknown_items="drop"))
    assert ids_of(dropped) == ids_of(answerer.for_history(["P001"], 3))
    assert dropped.notes == ("left out of the history, for the catalogue lacks them: 'nope', 'x'",)
    assert dropped.asked == "After P001"
    with pytest.raises(DataError, match=r"no item 'nope' in the catalogue, but in the question; item ids look like 'P000'$"):
        answerer.for_item("nope", 3, Options(unknown_items="drop"))  # nothing to ask would be left
    with pytest.raises(DataError, match="in the deny-list"):
        answerer.for_text("x", 3, Options(deny=("nope",)))
    with pytest.raises(DataError, match=r"'n4' and 5 more in the catalogue"):
        answerer.for_text("x", 3, Options(allow=tuple(f"n{i}" for i in range(10))))
    with pytest.raises(ConfigError, match="refused or dropped"):
        Options(unknown_items="ignore")  # type: ignore[arg-type]


def test_an_empty_history_is_a_first_purchase(answerer: Answerer) -> None:
    answer = answerer.for_history([], 3)
    assert len(answer.rows) == 3 and answer.asked == "For a customer with no purchases yet"


def test_of_a_long_history_the_latest_are_named(answerer: Answerer) -> None:
    asked = answerer.for_history([f"P{i:03}" for i in range(13)], 3).asked
    assert asked.startswith("After P003, P004") and asked.endswith("P012 (and 3 earlier)")


def test_more_than_the_catalogue_has(answerer: Answerer) -> None:
    answer = answerer.for_text("x", 10_000_000)
    assert len(answer.rows) == N and answer.shortfall == "the catalogue has 40 items"


def test_the_oldest_purchases_are_dropped_where_the_context_is_short(answerer: Answerer) -> None:
    whole = HistoryPrompts(answerer.renderer, answerer.codes, most=20, context=10_000)
    history = list(range(30))
    assert whole.note(30) == "30 purchases: the model reads the latest 20 (converse.max_history_items = 20)"
    assert whole(history) == whole(history[10:]) and whole.note(20) == ""
    for context in range(len(whole([])) + 5, len(whole(history)), 7):
        short = HistoryPrompts(answerer.renderer, answerer.codes, most=20, context=context)
        shown = short.shown(30)
        assert short(history) == whole(history[30 - shown :]) and len(short(history)) + 1 + 4 <= context
        assert shown == 20 or len(whole(history[29 - shown :])) + 1 + 4 > context
        assert short.note(30).endswith(f"its context is {context} tokens)") or shown == 20


def test_a_model_of_another_codebook_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n_users=5)
    corpus = storage.load_corpus(run.folder("ingest"))
    codes = storage.load_codes(run.folder("quantize"))
    again = type(codes)(codes.codes[::-1].copy(), codes.sizes)
    write_stage(run, "quantize", lambda folder: storage.save_codes(folder, again, corpus.items[c.ITEM_ID].to_list()))
    with pytest.raises(ArtifactError, match=r"6-model was trained with another codebook than .*3-codes .*`sidrec run --config"):
        Answerer.open(run)


def test_the_same_options_share_one_mask(answerer: Answerer) -> None:
    options = Options(filters=("price < 20",), deny=("P001",))
    first, second = answerer.conditions.eligibility(options)[0], answerer.conditions.eligibility(options)[0]
    assert first.mask is second.mask and first.mask is not None and not first.mask.flags.writeable


def test_purchases_are_those_of_training(run: pipeline.Run, answerer: Answerer) -> None:
    rows = answerer.corpus.histories.select(c.ITEMS, c.TRAIN_END).iter_rows()
    expected = np.bincount([item for items, end in rows for item in items[:end]], minlength=N)
    assert storage.count_training_purchases(run.folder("ingest"), N).tolist() == expected.tolist()
    assert answerer.conditions.columns.frame[c.POPULARITY].to_list() == expected.tolist()


def test_all_users_with_conditions(run: pipeline.Run, answerer: Answerer) -> None:
    options = Options(filters=("price < 20",), deny=("P001",), caps={1: 3}, exclude_seen=True)
    pipeline.recommend(run, Batch(k=4, options=options))
    frame = storage.scan_recommendations(run.folder("recommend")).collect()
    allowed = {f"P{i:03}" for i in range(20)} - {"P001"}
    assert frame.height and set(frame["item_id"]) <= allowed
    for user in ("U0000", "U0007"):
        assert frame.filter(pl.col("user") == user)["item_id"].to_list() == ids_of(answerer.for_user(user, 4, options))
    with pytest.raises(DataError, match=r"nobody can be recommended anything: price < 0 leaves none of 40 items"):
        pipeline.recommend(run, Batch(options=Options(filters=("price < 0",))))


@pytest.mark.parametrize("text", ["A=0", "B=1", "A", "A=x", "=3", "A=2,AB", "ABCDE=1", "A=99999999999", "A=1,a=2"])
def test_caps_that_mean_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match="--max-per-prefix"):
        parse_caps(text, QuantizeConfig())


def test_lists_of_ids(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("\ufeffP1\n\n P2 \n", "utf-8")
    assert id_list(str(file), "--allow") == ("P1", "P2") == id_list("P1, P2", "--allow")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        id_list(str(file), "--allow")
    with pytest.raises(ConfigError, match="names no item"):
        id_list(" ,", "--deny")


def test_the_command_line(ask: Callable[..., Result], tmp_path: Path) -> None:
    allow = tmp_path / "allow.txt"
    allow.write_text("P001\nP003\nP005\n")
    found = ask("--text", "x", "--filter", "price < 5", "--allow", str(allow), "--json", "--exact", "--beams", "3")
    told = json.loads(found.stdout)
    assert found.exit_code == 0 and {row["item_id"] for row in told["items"]} == {"P001", "P003"} and told["exact"]
    assert told["shortfall"] == "price < 5 leaves 5 of 40 items, the allow-list 3; all together leave 2"
    picture = tmp_path / "tree.svg"
    shown = ask("--history", "P001,P002", "--deny", "P003", "--max-per-prefix", "A=1", "--explain", "--picture", str(picture))
    assert shown.exit_code == 0 and "the request" in shown.stdout and "went on" in shown.stdout, shown.output
    assert {path.name for path in tmp_path.glob("tree.*")} == {"tree.svg", "tree.csv", "tree.txt"}
    searched = json.loads(ask("--history", "", "--explain", "--json").stdout)["search"]
    assert {row["state"] for row in searched} >= {"went on", "pruned"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--text", "x", "--user", "U0001"], "give one of"),
        ([], "found none"),
        (["--text", "x", "--filter", "prize < 3"], "did you mean price"),
        (["--text", "x", "--picture", "x.svg"], "draws what --explain prints"),
        (["--text", "x", "--explain", "--picture", "x.png"], "ends in .svg"),
        (["--text", "x", "--explain", "--picture", "/nowhere/x.svg"], "there is no folder"),
        (["--text", "x", "--min-novelty", "nan"], "a number of bits"),
        (["--users", "all", "--explain"], "of one request"),
        (["--text", " "], "the text to search for is empty"),
        (["--text", "caf\udcff"], "half a character (a lone surrogate, character 4)"),  # what Python makes of bytes not UTF-8
        (["--text", "x", "--filter", 'brand = "\udcff"'], "filter, character 10: half a character"),
        (["--text", "x", "--num-workers", "2"], "share the work of --users"),
        (["--user", "nobody"], "no customer 'nobody'"),
    ],
)
def test_bad_questions_are_one_sentence(ask: Callable[..., Result], arguments: list[str], sentence: str) -> None:
    found = ask(*arguments)
    assert isinstance(found.exception, SidrecError) and sentence in str(found.exception)
