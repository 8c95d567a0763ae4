"""What is drawn is what the CSV says, from a handful of items to a hundred thousand."""

from __future__ import annotations

import re
import time

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sidrec.quantize.heat import STEPS, heat_map
from sidrec.quantize.pictures import usage_picture
from sidrec.quantize.sunburst import NARROWEST, arc, sunburst
from sidrec.quantize.tree import Node, sid_tree, tree_table
from sidrec.quantize.words import Titles
from sidrec.types import ItemCodes

TITLES = ["red dog toy", "red dog bed", "blue dog toy", "cat food salmon", "cat food tuna", "fish tank"]
LEARNED = np.array([[4, 0, 0], [4, 0, 1], [4, 7, 0], [2, 1, 0], [2, 1, 0], [0, 0, 0]], np.int32)


def test_the_tree_of_six_items_counted_by_hand() -> None:
    nodes = sid_tree(LEARNED, TITLES)
    assert [(node.name, node.items) for node in nodes] == [
        ("all items", 6),
        ("A4", 3), ("A4 B0", 2), ("A4 B0 C0", 1), ("A4 B0 C1", 1), ("A4 B7", 1), ("A4 B7 C0", 1),
        ("A2", 2), ("A2 B1", 2), ("A2 B1 C0", 2),
        ("A0", 1), ("A0 B0", 1), ("A0 B0 C0", 1),
    ]  # fmt: skip
    words = {node.name: node.words for node in nodes}
    assert words["A4"] == ("dog", "red", "toy")  # three of three; then two of three, of equals by the alphabet
    assert words["A2"] == ("cat", "food")
    assert words["A4 B0"] == ("red",), "dog is in all of A4, so it tells nothing there; toy and bed are in one title each"
    assert words["A4 B7"] == ("blue", "toy")  # one of three under A4 is blue, two are toys
    assert tree_table(nodes).row(0) == ("A4", 1, 3, 180.0, "dog red toy", "red dog toy")


def test_words_are_letters_whatever_stands_in_a_title() -> None:
    titles = Titles(["<script>alert('Käse')</script> 12 oz", "\u202ecat\u202c 犬の餌 o'neill", "", "!!! 99"])
    assert titles.words == ["alert", "cat", "käse", "o'neill", "oz", "script", "犬の餌"]
    everyone = np.zeros(4, np.int64)
    assert titles.telling(everyone, np.array([0]), everyone) == [("alert", "cat", "käse")]
    assert Titles(["", "?"]).telling(everyone[:2], np.array([0]), everyone[:2]) == [()]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 400), st.integers(1, 4), st.sampled_from([1, 3, 40, 500]))
def test_no_item_is_lost_from_the_tree(seed: int, n: int, levels: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    learned = rng.integers(0, size, (n, levels)).astype(np.int32)
    nodes = sid_tree(learned, [f"item {i}" for i in range(n)])
    for at, node in enumerate(nodes):
        inside = [child for child in nodes if child.parent == at]
        if inside:
            assert sum(child.items for child in inside) == node.items
            assert [child.merged for child in inside] == sorted(child.merged for child in inside)
        elif not node.merged:
            assert len(node.prefix) == min(levels, 3)
        if not node.merged and node.prefix:
            assert (learned[:, : len(node.prefix)] == node.prefix).all(axis=1).sum() == node.items
    firsts = sum(node.codes for node in nodes if node.parent == 0)
    assert firsts == len(np.unique(learned[:, 0]))


def test_what_is_left_out_is_added_up() -> None:
    """300 first codes: the 256 largest have names, of equals the lower; the others are one node."""
    learned = np.repeat(np.arange(300), np.where(np.arange(300) < 100, 3, 2))[:, None].astype(np.int32)
    nodes = sid_tree(learned, ["x"] * len(learned))
    assert len(nodes) == 1 + 256 + 1
    last = nodes[-1]
    assert (last.merged, last.codes, last.items, last.name) == (True, 44, 88, "all items, 44 others")


def wedges(svg: bytes) -> tuple[int, int]:
    """Coloured and pale arcs."""
    arcs = re.findall(r'<path fill="(#\w+)"', svg.decode())
    pale = arcs.count("#9aa1a8")
    return len(arcs) - pale, pale


def test_every_arc_of_the_sunburst_is_a_row_of_its_table() -> None:
    rng = np.random.default_rng(0)
    learned = (40 * rng.random((3000, 3)) ** 2).astype(np.int32)
    nodes = sid_tree(learned, [f"word{a} thing{b}" for a, b, _ in learned.tolist()])
    picture = sunburst(nodes)
    assert picture.table.height == len(nodes) - 1
    drawn, pale = wedges(picture.file)
    wide = {node.name: 360 * node.items / 3000 >= NARROWEST for node in nodes}
    named = [node for node in nodes[1:] if not node.merged and wide[node.name]]
    assert drawn == len(named)
    parents = {nodes[node.parent].name for node in nodes[1:] if node not in named and wide[nodes[node.parent].name]}
    assert pale == len(parents)
    assert picture.table.filter(pl.col("prefix").str.contains(r"^A\d+$"))["items"].sum() == 3000
    assert picture.alt.count("items") > 8 and "word0" in picture.alt


def test_one_code_for_all_is_a_full_ring() -> None:
    picture = sunburst(sid_tree(np.zeros((9, 3), np.int32), ["a toy"] * 9))
    assert wedges(picture.file) == (3, 0)
    assert arc(0, 360, 1, 2).count("M") == 2
    assert Node(-1, (), 9).name == "all items"


def test_the_heat_map_draws_each_code_in_its_step() -> None:
    items = np.array([0, 1, 3, 8, 4, 20, 4, 0])  # 40 items, 5 a code if all were alike
    codes = np.repeat(np.arange(8), items)[:, None].astype(np.int32)
    picture = heat_map(ItemCodes(codes, (8,), tie_level=False))
    assert picture.table.rows() == [
        ("A", 0, 0, 0.0, "unused"), ("A", 1, 1, 0.2, "under ¼"), ("A", 2, 3, 0.6, "½ to 1"), ("A", 3, 8, 1.6, "1 to 2"),
        ("A", 4, 4, 0.8, "½ to 1"), ("A", 5, 20, 4.0, "2 to 4"), ("A", 6, 4, 0.8, "½ to 1"), ("A", 7, 0, 0.0, "unused"),
    ]  # fmt: skip
    svg = picture.file.decode()
    squares = [path.count("M") for path in re.findall(r'<path [^>]*d="([^"]*)"', svg)]
    counts = [picture.table.filter(pl.col("step") == name).height for _, name in STEPS]
    assert squares == [count for count in counts if count]
    assert "level A: 2 of 8 codes unused, 1 under a quarter of an even share, 1 over twice it" in picture.alt
    assert "the most used is A5 with 20 items" in picture.alt


def test_the_tie_level_is_not_drawn_as_if_it_should_be_even() -> None:
    rows = np.column_stack((np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4))).astype(np.int32)
    codes = ItemCodes(rows, (4, 256))
    for picture in (heat_map(codes), usage_picture(codes)):
        assert picture.table["level"].unique().to_list() == ["A"]
        assert picture.table["items"].to_list() == [5, 5, 5, 5]


def test_usage_curves_hold_every_code() -> None:
    rng = np.random.default_rng(0)
    rows = (1000 * rng.random((5000, 2)) ** 3).astype(np.int32)
    picture = usage_picture(ItemCodes(rows, (1000, 1000), tie_level=False))
    assert picture.table.group_by("level", maintain_order=True).agg(pl.len(), pl.col("items").sum()).rows() == [
        ("A", 1000, 5000), ("B", 1000, 5000),
    ]  # fmt: skip


def test_a_hundred_thousand_items_and_large_levels_are_drawn_in_seconds_and_bounded() -> None:
    rng = np.random.default_rng(0)
    learned = (256 * rng.random((100_000, 3)) ** 1.3).astype(np.int32)
    titles = [f"brand{a} thing{b} no {c}" for a, b, c in learned.tolist()]
    began = time.process_time()
    nodes = sid_tree(learned, titles)
    picture = sunburst(nodes)
    large = heat_map(ItemCodes(learned * 32, (8192,) * 3, tie_level=False))
    assert time.process_time() - began < 10
    assert len(nodes) <= 1 + 2 * (256 + 2000) + 2000 + 2000
    assert len(picture.svg) < 300_000 and len(large.svg) < 1_500_000
    assert sum(node.items for node in nodes if node.parent == 0) == 100_000
