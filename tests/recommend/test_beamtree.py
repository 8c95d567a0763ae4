"""The beam tree: what is told is what the search considered, nothing is lost or twice, and titles stay plain text."""

from __future__ import annotations

import io
import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from sidrec.recommend import Recommender
from sidrec.recommend.beamtree import Branch, Names, best_ends, candidates, grow, levels_of
from sidrec.recommend.treepicture import tree_picture
from sidrec.recommend.treetext import show_tree
from sidrec.types import ItemCodes, Request
from tests.recommend.helpers import catalogue, tiny_qwen3, vocabulary

SIZES, N = (5, 4, 3), 45
TITLES = [f"Thing {i} for {'cats' if i % 2 else 'dogs'} [bold]<script>x</script>" for i in range(N)]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    codes = catalogue(1, SIZES, N)
    return Recommender(tiny_qwen3(vocabulary(SIZES).last_id + 1), vocabulary(SIZES), codes)


@pytest.fixture(scope="module", params=[None, "half", "one"])
def request_(request: pytest.FixtureRequest) -> Request:
    mask = {None: None, "half": np.arange(N) % 2 == 0, "one": np.arange(N) == 7}[request.param]
    return Request([1, 2, 3], (4, 8), mask)


def all_branches(root: Branch) -> list[Branch]:
    return [root, *(found for child in root.children for found in all_branches(child))]


def test_the_tree_holds_every_candidate_once(recommender: Recommender, request_: Request) -> None:
    explanation = recommender.explain(request_, k=4, beams=6)
    names = Names(recommender.trie, TITLES)
    root, levels = grow(explanation, names, recommender.codes.codes), levels_of(explanation, names)
    branches = all_branches(root)
    for depth, (level, found) in enumerate(zip(levels, explanation.levels, strict=True), start=1):
        kept = [branch for branch in branches if len(branch.codes) == depth]
        above = [branch for branch in branches if len(branch.codes) == depth - 1]
        pruned, filtered = (sum(getattr(b, name).count for b in above if getattr(b, name)) for name in ("pruned", "filtered"))
        assert (
            (len(kept), len(kept) + pruned + filtered) == (level.kept, level.considered) == (found.kept.sum(), len(found.kept))
        )
        assert (pruned, filtered) == tuple(left.count if left else 0 for left in (level.pruned, level.filtered))
        assert all(branch.eligible for branch in kept)
    told = [(rank, item) for branch in branches for rank, item in zip(branch.ranks, branch.items, strict=True)]
    assert sorted(told) == list(enumerate(explanation.ranked.items.tolist(), start=1))
    for branch in branches[1:]:
        parent = next(b for b in branches if b.codes == branch.codes[:-1])
        assert branch.probability == pytest.approx(parent.probability * branch.share, rel=1e-4)
    for branch in branches:
        if branch.ranks:
            score = explanation.ranked.scores[branch.ranks[0] - 1]
            assert branch.probability == pytest.approx(math.exp(score), rel=1e-4)


def test_the_states_of_candidates(recommender: Recommender) -> None:
    request_ = Request([1], (), np.arange(N) % 2 == 0)
    rows = candidates(recommender.explain(request_, k=3, beams=3))
    assert {row["state"] for row in rows} == {"went on", "pruned", "filtered"}
    assert all((row["state"] == "filtered") == (row["eligible"] == 0) for row in rows)
    assert rows[0]["prefix"] == "A0" and rows[-1]["level"] == "C" and rows[-1]["prefix"].count(" ") == 2


def test_names_are_the_title_of_one_and_common_words_of_many() -> None:
    codes = ItemCodes(np.array([[0, 0], [0, 1], [0, 2], [1, 0]], dtype=np.int32), (2, 3))
    trie = Recommender(tiny_qwen3(60), vocabulary(codes.sizes), codes).trie
    names = Names(trie, ["Salmon pâté for cats", "Salmon flakes for cats", "Salmon oil", "Rope for dogs"])
    assert names((0,)).split()[0] == "salmon"
    assert names((1,)) == "Rope for dogs" and names((0, 2)) == "Salmon oil"
    assert names.below((0,)).tolist() == [0, 1, 2] and names.below((1, 2)).tolist() == [] == names.below((1, 2, 0)).tolist()


@pytest.mark.parametrize("beams", [3, 50])
def test_text_and_picture(recommender: Recommender, request_: Request, beams: int) -> None:
    explanation = recommender.explain(request_, 3, beams)
    names = Names(recommender.trie, TITLES)
    root, levels = grow(explanation, names, recommender.codes.codes), levels_of(explanation, names)
    for width in (80, 120):
        console = Console(file=io.StringIO(), width=width)
        show_tree(root, levels, TITLES, console)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert " ".join(shown.split("\n")[0].split()) == "level candidates went on pruned filtered best left behind"
        assert all(line.startswith(f"{level.name}  ") for level, line in zip(levels, shown.split("\n")[1:], strict=False))
    first = TITLES[explanation.ranked.items[0]]
    assert f"#1 {first}" in shown  # with its markup as text
    assert ("✗" in shown) == any(level.filtered for level in levels)
    assert len(best_ends(root, 12)) <= 1 + 3 * max(12, len(explanation.ranked.items))
    drawn = tree_picture(explanation, root, levels, TITLES, "For “<b>”")
    again = tree_picture(explanation, root, levels, TITLES, "For “<b>”")
    assert drawn.file == again.file  # the same bytes, whatever the clock says
    assert ElementTree.fromstring(drawn.file.decode()) is not None and b"<script>" not in drawn.file
    assert b"#1  " in drawn.file and "First of the answer" in drawn.alt
    table = pl.read_csv(io.BytesIO(drawn.csv))
    assert table.height == sum(len(level.kept) for level in explanation.levels)


def test_an_empty_search_is_said(recommender: Recommender) -> None:
    explanation = recommender.explain(Request([1], (), np.zeros(N, dtype=np.bool_)), 3, 5)
    names = Names(recommender.trie, TITLES)
    root, levels = grow(explanation, names, recommender.codes.codes), levels_of(explanation, names)
    console = Console(file=io.StringIO(), width=80)
    show_tree(root, levels, TITLES, console)
    assert "no item is eligible" in console.file.getvalue()  # type: ignore[attr-defined]
    assert tree_picture(explanation, root, levels, TITLES, "x").table.height == 0


def test_items_that_share_a_semantic_id_stand_at_one_end() -> None:
    codes = ItemCodes(np.array([[0, 0], [0, 0], [1, 1]], dtype=np.int32), (2, 2), tie_level=False)
    shared = Recommender(tiny_qwen3(60), vocabulary(codes.sizes), codes, popularity=np.array([1, 5, 2]))
    explanation = shared.explain(Request([1]), 3, 3)
    root = grow(explanation, Names(shared.trie, TITLES), codes.codes)
    ends = {end.codes: end for end in root.ends()}
    assert ends[0, 0].items == (1, 0) and len(ends[0, 0].ranks) == 2
    assert replace(ends[1, 1], ranks=()).items == (2,)
    assert b"more of this semantic ID" in tree_picture(explanation, root, levels_of(explanation, str), TITLES, "x").file
