"""The page of the codes: complete, self-contained, safe, the same bytes each time."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from sidrec.config import QuantizeConfig
from sidrec.quantize import quantize
from sidrec.quantize.page import health_files
from sidrec.quantize.tables import summary
from sidrec.types import ItemVectors
from tests.quantize.shop import make_shop

HOSTILE = (
    "</script><script>alert('x')</script> <img src=x onerror=alert(1)> <|sid_start|> https://evil.example/x.js <svg/onload=x>"
)
CONFIG = QuantizeConfig(levels=(16, 16), tie_codes=4)


def made(hostile: str = "", config: QuantizeConfig = CONFIG) -> tuple[dict[str, bytes], dict[str, Any]]:
    vectors, ids, cold, histories = make_shop()
    rows = vectors.vectors.copy()
    rows[1] = rows[0]
    titles = [f"{hostile} kind{i // 12} item {i}" for i in range(96)]
    ids = [f"{hostile}{item}" for item in ids]
    categories = [f"{hostile} kind {i // 12}" for i in range(96)]
    found = quantize(ItemVectors(rows), ids, cold, histories, config, 0, categories=categories)
    return health_files(found.codes, titles, found.health, config, "shop"), found.health


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return made(HOSTILE)[0]


@pytest.fixture(scope="module")
def page(files: dict[str, bytes]) -> str:
    return files["health.html"].decode()


class Outline(HTMLParser):
    """Tags with attributes, texts, the content of scripts; and whether every tag that was opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.texts).append(data)


def test_a_hostile_catalogue_stays_text(page: str) -> None:
    outline = Outline(page)
    names = [tag for tag, _ in outline.tags]
    assert names.count("script") == 2 and not {"img", "iframe", "object", "link", "image"} & set(names)
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert any(HOSTILE in text for text in outline.texts), "the duplicate's id is named, as text"
    data = json.loads(outline.scripts[0])
    assert any(HOSTILE[:40] in node[5] for node in data["nodes"]) and "<" not in outline.scripts[0]
    for name in ("sunburst", "heat", "usage"):
        assert "alert(" not in html.unescape(made(HOSTILE)[0][f"pictures/{name}.svg"].decode())


def test_nothing_is_fetched_and_only_this_script_runs(page: str) -> None:
    outline = Outline(page)
    policy = next(attributes["content"] for tag, attributes in outline.tags if attributes.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(outline.scripts[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    addresses = [
        a for _, attributes in outline.tags for k, a in attributes.items() if k in ("src", "href", "xlink:href", "action")
    ]
    assert addresses and all(a is not None and a.startswith(("#", "data:text/csv;base64,")) for a in addresses)
    ours = page.replace("https://evil.example/x.js", "").replace("https://evil.exam", "")
    assert "http:" not in ours and "https:" not in ours
    assert not re.search(r"@import|url\((?!#)|innerHTML|eval\(", page)


def test_pictures_have_words_files_and_numbers_and_follow_the_scheme(page: str, files: dict[str, bytes]) -> None:
    alts = [attributes["aria-label"] for _, attributes in Outline(page).tags if attributes.get("role") == "img"]
    assert len(alts) == 3 and all(alt and len(alt) > 60 and re.search(r"\d", alt) for alt in alts)
    assert sorted(name for name in files if name.startswith("pictures/")) == [
        f"pictures/{name}.{kind}" for name in ("heat", "sunburst", "usage") for kind in ("csv", "svg")
    ]
    for name in ("heat", "sunburst", "usage"):
        assert ET.fromstring(files[f"pictures/{name}.svg"]).tag.endswith("svg")
        assert len(list(csv.reader(io.StringIO(files[f"pictures/{name}.csv"].decode())))) > 1
        assert b"var(" not in files[f"pictures/{name}.svg"]
    assert "prefers-color-scheme: dark" in page and "var(--ink)" in page and "#010203" not in page
    ids = re.findall(r' id="([^"]+)"', page)
    used = set(re.findall(r"url\(#([^)]+)\)", page))
    assert all(ids.count(name) == 1 for name in used)


def test_the_page_says_what_it_must_to_a_layman_first(page: str) -> None:
    text = " ".join(Outline(page).texts)
    order = [
        "These codes can be trained on",
        "What to do",
        "Nothing has to change",
        "A semantic ID is",
        "The tree",
        "For the expert",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "perplexity" not in text[: text.index("A semantic ID is")].lower()
    assert "2 items read exactly like another" in text


def test_same_input_same_bytes(files: dict[str, bytes]) -> None:
    assert made(HOSTILE)[0] == files


def test_a_stopped_run_says_what_to_change() -> None:
    config = QuantizeConfig(levels=(2, 2), collisions="tie")
    page = made(config=config)[0]["health.html"].decode()
    text = html.unescape(page)
    assert 'class="verdict bad"' in page and "Too many items share their code" in text
    assert "The run has stopped here" in text and 'quantize.collisions = "move"' in text
    assert "These codes can be trained on" not in text and ">failed<" in page
    for action, said in (("warn", "The gate only warns"), ("off", "The gate is off")):
        other = config.model_copy(update={"gate": config.gate.model_copy(update={"action": action})})
        assert said in made(config=other)[0]["health.html"].decode()


def test_without_ties_purchases_categories_or_neighbours() -> None:
    """The smallest catalogue that can have codes still has a page."""
    vectors = ItemVectors(np.eye(4, dtype=np.float32))
    config = QuantizeConfig(levels=(2,), tie_codes=0)
    found = quantize(vectors, list("abcd"), np.zeros(4, np.bool_), [], config, 0)
    made = health_files(found.codes, ["?", "!", "", "1"], found.health, config, "tiny")
    text = " ".join(Outline(made["health.html"].decode()).texts)
    assert "Too few items to have neighbours" in text and "no categories to compare with" in text
    assert "There is no tie level" in text


def test_the_terminal_has_a_line_a_level() -> None:
    _, found = made()
    from sidrec.quantize import gate

    lines = summary(found, gate.checks(found, CONFIG))
    assert [line.split()[0] for line in lines[:4]] == ["level", "A", "B", "C"]
    assert len({len(line) for line in lines[:4]}) == 1 and max(map(len, lines[:-1])) < 120
    assert lines[-1].startswith("These codes can be trained on")
