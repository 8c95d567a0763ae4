"""The gate: a collapsed codebook stops the run, a small catalogue does not, and the advice is about the cause."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sidrec.config import GateConfig, QuantizeConfig, RunConfig
from sidrec.configfile import parse_config
from sidrec.errors import QualityError
from sidrec.quantize import gate, quantize
from sidrec.quantize.health import health
from sidrec.quantize.residual_kmeans import ResidualKMeans
from sidrec.quantize.ties import break_ties
from sidrec.types import ItemCodes, ItemVectors
from tests.quantize.shop import make_shop

CONFIG = QuantizeConfig()


def figures(items: int = 12_000, perplexities: tuple[float, ...] = (236, 220, 210), **others: Any) -> dict[str, Any]:
    levels = [
        {"level": name, "size": 256, "used": 256, "perplexity": found, "residual": 0.3, "open": items, "open_perplexity": found}
        for name, found in zip("ABC", perplexities, strict=False)
    ]
    ties = {"level": "D", "size": 256, "used": 20, "perplexity": 1.8}
    plain = {
        "tied_items": items // 20,
        "largest_group": 9,
        "unique_share": 0.95,
        "duplicate_items": 0,
        "duplicate_examples": [],
    }
    return {"items": items, "levels": [*levels, ties], **plain, **others}


def failed(found: dict[str, Any], config: QuantizeConfig = CONFIG) -> list[str]:
    return [check.what for check in gate.checks(found, config) if not check.passed]


def test_a_sound_codebook_passes_and_the_tie_level_is_exempt() -> None:
    judged = gate.checks(figures(), CONFIG)
    assert [check.what for check in judged] == [
        "level A is used evenly", "level B is used evenly", "level C is used evenly", "items have codes of their own",
    ]  # fmt: skip
    assert all(check.passed for check in judged) and gate.advice(judged) == []
    assert gate.headline(figures(), judged).startswith("These codes can be trained on: 95.0 % of the items")
    assert gate.enforce(judged, CONFIG, Path("page")) == ""


def test_perplexity_under_half_the_size_has_collapsed() -> None:
    assert failed(figures(perplexities=(48, 220, 210))) == ["level A is used evenly"]
    assert failed(figures(perplexities=(129, 126, 210))) == ["level B is used evenly"]
    assert failed(figures(perplexities=(129, 126, 210)), QuantizeConfig(gate=GateConfig(min_perplexity=0.4))) == []


def test_a_catalogue_smaller_than_the_codebook_is_not_asked_for_what_it_cannot_have() -> None:
    """300 items over 256 codes: drawn blindly they would reach 156, so the limit is 78, not 128."""
    assert failed(figures(300, (100, 100, 100))) == []
    assert failed(figures(300, (70, 100, 100))) == ["level A is used evenly"]


def test_blind_perplexity_is_what_blind_codes_have() -> None:
    rng = np.random.default_rng(0)
    for items, size in ((300, 256), (50, 256), (5000, 64), (20, 8)):
        drawn = []
        for _ in range(200):
            shares = np.bincount(rng.integers(size, size=items)) / items
            shares = shares[shares > 0]
            drawn.append(float(np.exp(-(shares * np.log(shares)).sum())))
        assert gate.blind_perplexity(items, size) == pytest.approx(np.mean(drawn), rel=0.02)


def test_a_level_with_little_left_to_part_need_not_be_used() -> None:
    """AB names every item but ten; what is left of the others is nothing, and lands in one code of C."""
    found = figures(300, (140, 130, 5))
    assert failed(found) == ["level C is used evenly"]
    found["levels"][2]["open"] = 10
    assert failed(found) == []
    assert gate.checks(found, CONFIG)[2].limit == "none: 10 items are left to part"
    found["levels"][2]["open"] = 100
    assert failed(found) == ["level C is used evenly"]
    found["levels"][2]["open_perplexity"] = 60.0
    assert failed(found) == [], "the hundred that it has to part use it evenly"


@pytest.mark.parametrize("items", [20, 60, 300, 3000])
def test_real_codes_of_small_catalogues_pass(items: int) -> None:
    vectors, ids, cold, histories = make_shop(kinds=items // 10, variants=10)
    size = min(256, items // 2)
    config = QuantizeConfig(levels=(size,) * 3)
    made = quantize(vectors, ids, cold, histories, config, seed=0)
    assert failed(made.health, config) == []


def collapsed() -> tuple[ItemCodes, dict[str, Any]]:
    """A codebook of 64 codes a level, 4 of which are near any item."""
    vectors, ids, _, histories = make_shop(kinds=40, variants=25)
    far = np.full((60, 24), 100, np.float32)
    near = vectors.vectors[:: len(ids) // 4][:4]
    quantizer = ResidualKMeans(np.zeros(24, np.float32), tuple(np.concatenate((near / (level + 1), far)) for level in range(3)))
    unique, size = break_ties(quantizer.encode(vectors.vectors), ids, 1000)
    codes = ItemCodes(unique, (64, 64, 64, size))
    return codes, health(vectors.vectors, vectors.vectors, quantizer, codes, histories, None, ids)


def test_a_collapsed_codebook_stops_with_figures_and_advice() -> None:
    _, found = collapsed()
    config = QuantizeConfig(levels=(64, 64, 64))
    judged = gate.checks(found, config)
    with pytest.raises(QualityError) as stopped:
        gate.enforce(judged, config, Path("runs/x/3-codes.partial/health.html"))
    said = str(stopped.value)
    assert stopped.value.exit_code == 7
    for part in ("Level A has collapsed: of its 64 codes only about ", "4 codes used; the limit: perplexity at least 31.",
                 "Too many items share their code", "runs/x/3-codes.partial/health.html", "embed.encoder", "embed.fields",
                 "quantize.levels = [", "quantize.gate.action=warn"):  # fmt: skip
        assert part in said, part
    assert "Level A has collapsed" in gate.headline(found, judged)
    assert "perplexity" not in gate.headline(found, judged)


def test_the_advice_is_about_the_method_in_use() -> None:
    found = figures(perplexities=(31, 220, 210))
    plain = gate.advice(gate.checks(found, CONFIG))
    assert plain[0].startswith("quantize.balance = 1.5") and not any("quantize.method" in line for line in plain)
    balanced = gate.advice(gate.checks(found, QuantizeConfig(balance=1.5)))
    assert balanced[0].startswith("embed.encoder")
    learned = gate.advice(gate.checks(found, QuantizeConfig(method="rq-vae")))
    assert learned[0].startswith('quantize.method = "residual-kmeans"')
    assert learned[-1].startswith("quantize.levels = [16, 128, 128]")


@pytest.mark.parametrize("items", [20, 300, 12_000, 1_000_000])
def test_the_levels_that_are_advised_have_room_for_the_items(items: int) -> None:
    """Of a codebook where all fell into two codes: six levels of two would be 64 codes for any catalogue."""
    lines = gate.advice(gate.checks(figures(items, (2.4,), tied_items=items), CONFIG))
    sizes = [int(size) for size in lines[-1].split("[")[1].split("]")[0].split(",")]
    assert math.prod(sizes) >= 4 * items and len(sizes) <= 6


def test_warn_and_off() -> None:
    _, found = collapsed()
    warns = QuantizeConfig(gate=GateConfig(action="warn"))
    assert "has collapsed" in gate.enforce(gate.checks(found, warns), warns, Path("page"))
    off = QuantizeConfig(gate=GateConfig(action="off"))
    assert gate.enforce(gate.checks(found, off), off, Path("page")) == ""


def test_items_that_tie_are_told_what_parts_them() -> None:
    found = figures(tied_items=6_600)
    (line,) = [check for check in gate.checks(found, CONFIG) if not check.passed]
    assert "6,600 of 12,000" in line.sentence
    moved, wider, encoder = gate.advice([line])
    assert "collision_limit above 0.3" in moved and "larger sizes" in wider and "embed.encoder" in encoder
    tied = gate.advice(gate.checks(found, QuantizeConfig(collisions="tie")))
    assert 'quantize.collisions = "move"' in tied[0]
    narrow = gate.advice(gate.checks(found, QuantizeConfig(levels=(16, 16, 16))))
    assert "quantize.levels = [64, 64, 64]: 4,096 codes are few for 12,000 items" in " ".join(narrow)


def test_where_the_text_is_the_same_the_text_is_named_first() -> None:
    """Every item eight times over, as when a shop lists each size of a shirt under one title."""
    vectors, ids, _, histories = make_shop(kinds=40, variants=2)
    many = ItemVectors(np.repeat(vectors.vectors, 8, axis=0))
    named = [f"{item}-{size}" for item in ids for size in range(8)]
    config = QuantizeConfig(levels=(8, 8, 8))
    made = quantize(many, named, np.zeros(640, np.bool_), histories, config, 0)
    first = gate.advice(gate.checks(made.health, config))[0]
    assert first.startswith("The text of 640 of 640 items is the same as another's to the encoder (e.g. 'P000-0', 'P000-1'")


def test_every_key_that_the_advice_names_exists() -> None:
    lines = [
        *gate.advice(gate.checks(collapsed()[1], CONFIG)),
        *gate.advice(gate.checks(figures(tied_items=9_000), CONFIG)),
        *gate.advice(gate.checks(figures(tied_items=9_000), QuantizeConfig(levels=(8, 8), collisions="tie"))),
    ]
    config = RunConfig().model_dump()
    for word in " ".join(lines).replace(":", " ").replace(";", " ").replace(",", " ").split():
        if word.startswith(("quantize.", "embed.")):
            at: Any = config
            for key in word.rstrip(".").split("."):
                at = at[key]
    assert len(lines) > 5


def test_limits_are_checked_at_the_border() -> None:
    assert parse_config({}, ["quantize.gate.action=warn", "quantize.gate.max_tied_items=0.9"]).quantize.gate.action == "warn"
    for wrong in ("quantize.gate.action=halt", "quantize.gate.min_perplexity=2"):
        with pytest.raises(Exception, match=r"quantize\.gate"):
            parse_config({}, [wrong])
