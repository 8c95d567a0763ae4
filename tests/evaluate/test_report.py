"""The page: complete, self-contained, safe, the same bytes each time."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from sidrec.evaluate import MODEL, NextItemOutcome, ReportInputs, next_item_metrics, pick_customers, report_files
from sidrec.evaluate.pictures import training_picture
from sidrec.evaluate.score import as_json
from sidrec.schemas import DROPPED_SCHEMA
from tests.evaluate.stand_in import HOSTILE, Shop, training_rows

EMPTY = ("description_to_sid", "sid_to_description")


@pytest.fixture(scope="module")
def inputs(shop: Shop) -> ReportInputs:
    return shop.report_inputs(shop.rows(empty=EMPTY), shop.next_item())


@pytest.fixture(scope="module")
def files(inputs: ReportInputs) -> dict[str, bytes]:
    return report_files(inputs)


@pytest.fixture(scope="module")
def page(files: dict[str, bytes]) -> str:
    return files["report.html"].decode()


class Outline(HTMLParser):
    """Tags, attributes, text; and whether every tag that was opened is closed."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_a_hostile_title_stays_text(page: str) -> None:
    parsed = outline(page)
    assert not {"script", "img", "iframe", "object", "link"} & {tag for tag, _ in parsed.tags}
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert any(HOSTILE in text for text in parsed.text)
    assert "&lt;script&gt;" in page


def test_nothing_is_fetched(page: str) -> None:
    parsed = outline(page)
    addresses = [
        a for _, attributes in parsed.tags for k, a in attributes.items() if k in ("src", "href", "xlink:href", "action")
    ]
    assert addresses and all(a is not None and a.startswith(("#", "data:text/csv;base64,")) for a in addresses)
    without_text = page.replace("https://evil.example/x.js", "")
    assert "http:" not in without_text and "https:" not in without_text
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_every_picture_has_words_a_file_and_numbers(page: str, files: dict[str, bytes]) -> None:
    alts = [attributes["aria-label"] for _, attributes in outline(page).tags if attributes.get("role") == "img"]
    names = sorted(name.removeprefix("pictures/").removesuffix(".svg") for name in files if name.endswith(".svg"))
    assert names == ["cold", "constant", "ladder", "next_item", "training"]
    assert len(alts) == 5 and all(alt and len(alt) > 60 and re.search(r"\d", alt) for alt in alts)
    for name in names:
        assert ET.fromstring(files[f"pictures/{name}.svg"]).tag.endswith("svg")
        assert len(list(csv.reader(io.StringIO(files[f"pictures/{name}.csv"].decode())))) > 1


def test_pictures_follow_light_and_dark(page: str, files: dict[str, bytes]) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "var(--ink)" in page and "var(--line)" in page
    assert "#010203" not in page  # the marker colour of ink
    assert b"var(" not in files["pictures/ladder.svg"]


def test_ids_of_inline_drawings_do_not_clash_where_they_are_used(page: str) -> None:
    used = set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'xlink:href="#([^"]+)"', page))
    ids = re.findall(r' id="([^"]+)"', page)
    assert used and all(ids.count(name) == 1 for name in used)


def test_empty_tasks_say_no_data(page: str) -> None:
    for task in EMPTY:
        rows = re.findall(rf'<th scope="row">{task}</th>(.*?)</tr>', page, flags=re.DOTALL)
        assert rows and all("no data" in row and ">0.0<" not in row for row in rows)


def test_the_verdict_and_the_protocol_stand_there(page: str) -> None:
    assert '<p class="verdict">On next purchase the model finds ' in page
    assert "(exclude_seen = false)" in page
    assert "missing_title" in page


def test_same_inputs_same_bytes(inputs: ReportInputs, files: dict[str, bytes]) -> None:
    assert report_files(inputs) == files


def test_a_run_with_nothing_measured_still_has_a_page(shop: Shop) -> None:
    none = np.empty((0, 10), dtype=np.int32)
    nobody = NextItemOutcome([], [], none[:, 0], none[:, 0].astype(bool), {MODEL: none, "popularity": none}, False)
    rows = next_item_metrics(nobody, (5, 10), seed=0)
    bare = ReportInputs(as_json(rows, shop.facts()), [], [], {}, pl.DataFrame(schema=DROPPED_SCHEMA), {}, {})
    made = report_files(bare)
    assert list(made) == ["report.html"]
    text = "".join(outline(made["report.html"].decode()).text)
    assert "There was no next purchase to predict" in text and "no losses were recorded" in text


def test_customers_are_drawn_by_the_seed_and_hits_are_marked(shop: Shop, page: str) -> None:
    outcome = shop.next_item()
    drawn = pick_customers(outcome, shop.titles, seed=0)
    assert [one.user for one in drawn] == [one.user for one in pick_customers(outcome, shop.titles, seed=0)]
    assert [one.user for one in drawn] != [one.user for one in pick_customers(outcome, shop.titles, seed=1)]
    for one in drawn:
        row = int(one.user[1:])
        assert one.truth == shop.titles[shop.histories[row][-1]]
        for name, shown in one.lists:
            expected = outcome.ranked[name][row, :5] == outcome.truth[row]
            assert [item.hit for item in shown] == expected.tolist()
    assert "✓" in page


def test_hits_are_by_item_not_by_title(shop: Shop) -> None:
    """Two items of one title: only the one that was bought is marked."""
    ranked = {MODEL: np.array([[1, 2]], dtype=np.int32)}
    one = NextItemOutcome(["u"], [(0,)], np.array([2], dtype=np.int32), np.array([False]), ranked, False)
    (customer,) = pick_customers(one, ["a", "twin", "twin"], seed=0)
    assert [(item.title, item.hit) for item in customer.lists[0][1]] == [("twin", False), ("twin", True)]


def test_a_loss_that_is_no_number_is_left_out_of_the_curve() -> None:
    rows = [*training_rows(), {"stage": "full", "step": 1510, "loss": float("nan")}, {"stage": "full", "note": "resumed"}]
    picture = training_picture(rows)
    assert picture is not None and picture.table["step"].max() == 1500
    assert training_picture([{"stage": "full", "step": 1, "loss": float("nan")}]) is None


def test_a_long_run_is_drawn_as_means_and_validations_once_each() -> None:
    picture = training_picture(training_rows())
    assert picture is not None
    full = picture.table.filter(pl.col("stage") == "full")
    assert full.height == 375  # 1,500 steps, four a point
    losses = [row["loss"] for row in training_rows() if row["stage"] == "full"]
    assert full["loss"][0] == pytest.approx(sum(losses[:4]) / 4)
    assert full.filter(pl.col("valid_loss").is_not_null())["step"].to_list() == [300, 600, 900, 1200, 1500]
    assert picture.table.filter(pl.col("stage") == "vocabulary").height == 100


def test_config_with_hostile_values_is_escaped(inputs: ReportInputs) -> None:
    hostile = replace(inputs, config={"name": HOSTILE}, versions={HOSTILE: HOSTILE}, health={HOSTILE: HOSTILE})
    page = report_files(hostile)["report.html"].decode()
    assert not {"script", "img"} & {tag for tag, _ in outline(page).tags}
