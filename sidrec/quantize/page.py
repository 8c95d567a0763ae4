"""``health.html`` and the pictures beside it, as bytes; the corridor writes them. Titles and ids are the shop's: escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from string import ascii_uppercase
from typing import Any

import numpy as np
from markupsafe import Markup

from sidrec.config import QuantizeConfig
from sidrec.page import embedded, environment, percent
from sidrec.quantize import gate, tables
from sidrec.quantize.heat import heat_map
from sidrec.quantize.pictures import usage_picture
from sidrec.quantize.prefixes import prefix_groups
from sidrec.quantize.sunburst import sunburst
from sidrec.quantize.tree import DEPTH, Node, sid_tree
from sidrec.types import ItemCodes

_MANY_TIED_PURCHASES = 0.05
_FEW_OPEN = 0.2  # share of items that a level has to part, under which it could be left out


def health_files(
    codes: ItemCodes, titles: Sequence[str], health: Mapping[str, Any], config: QuantizeConfig, run: str
) -> dict[str, bytes]:
    """File name -> content: ``health.html``, and ``pictures/NAME.svg`` with ``pictures/NAME.csv`` of each picture."""
    nodes = sid_tree(codes.learned, titles)
    pictures = [sunburst(nodes), heat_map(codes), usage_picture(codes)]
    shown = {picture.name: embedded(picture) for picture in pictures}
    judged = gate.checks(health, config)
    script = resources.files("sidrec").joinpath("quantize/sunburst.js").read_text("utf-8")
    html = (
        environment()
        .get_template("quantize/health.html.j2")
        .render(
            run=run,
            headline=gate.headline(health, judged),
            failed=any(not check.passed for check in judged),
            action=config.gate.action,
            advice=gate.advice(judged),
            notes=[] if any(not check.passed for check in judged) else _notes(health),
            tiles=_tiles(health),
            pair=_pair(codes, titles),
            tie_level=ascii_uppercase[codes.levels - 1] if codes.tie_level else "",
            pictures=shown,
            largest=tables.largest(nodes),
            levels=tables.levels(health),
            groups=tables.groups(health),
            moving=tables.moving(health),
            overlap=tables.overlap(health),
            purity=any("purity" in row for row in health["prefixes"]),
            prefixes=tables.prefixes(health),
            checks=judged,
            min_perplexity=f"{config.gate.min_perplexity:g}",
            spread=f"{health['spread']:.4g}",
            health=health,
            document=json.dumps(health, indent=2, ensure_ascii=False),
            tree=_tree(nodes, codes),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    files = {"health.html": html.encode()}
    for picture in pictures:
        files[f"pictures/{picture.name}.svg"] = picture.file
        files[f"pictures/{picture.name}.csv"] = picture.csv
    return files


def _notes(health: Mapping[str, Any]) -> list[str]:
    notes = []
    if health["duplicate_items"]:
        notes.append(
            f"{health['duplicate_items']:,} items read exactly like another; their ids are further down. Merge them, or give "
            "them text that differs."
        )
    if health["tied_purchases_share"] > _MANY_TIED_PURCHASES:
        notes.append(
            f"{percent(health['tied_purchases_share'])} % of the purchases are of items that share their code: what sells most "
            "is told apart by a counter. Larger quantize.levels or quantize.collision_limit would part them by meaning."
        )
    idle = [level for level in health["levels"] if "open" in level and level["open"] < _FEW_OPEN * health["items"]]
    if idle:
        notes.append(
            f"When level {idle[0]['level']} comes, {health['items'] - idle[0]['open']:,} of {health['items']:,} items are told "
            "apart already: fewer or smaller quantize.levels would do, and make shorter IDs."
        )
    first = health["prefixes"][0]
    if "purity" in first and first["purity"] < 1.5 * first["chance"]:
        notes.append(
            f"First codes hardly follow your categories ({percent(first['purity'])} % against {percent(first['chance'])} % by "
            "chance): is the category in the items’ text (embed.fields)?"
        )
    return notes


def _tiles(health: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    learned = [level for level in health["levels"] if "residual" in level]
    used, size = sum(level["used"] for level in learned), sum(level["size"] for level in learned)
    tiles = [
        (
            "items with a code of their own",
            f"{percent(health['unique_share'])} %",
            f"largest group {health['largest_group']:,}",
        ),
        ("codes in use", f"{percent(used / size)} %", f"{used:,} of {size:,} on {len(learned)} level{'s'[: len(learned) > 1]}"),
    ]
    near = health["neighbours"]
    if "overlap@10" in near:
        beside = f"of an item’s ten nearest; blindly {percent(near['chance@10'])} %"
        tiles.append(("neighbours that stay neighbours", f"{percent(near['overlap@10'])} %", beside))
    tiles.append(
        (
            "purchases of items that share a code",
            f"{percent(health['tied_purchases_share'])} %",
            f"{health['tied_items']:,} items",
        )
    )
    return tiles


def _pair(codes: ItemCodes, titles: Sequence[str]) -> list[tuple[str, str]]:
    """Two items of the largest prefix, as an example: spelled codes and titles."""
    learned = codes.learned
    groups = prefix_groups(learned)[min(2, learned.shape[1]) - 1]
    members = np.flatnonzero(groups == np.bincount(groups).argmax())
    last = learned[members, -1]
    other = members[(last != last[0]).argmax()] if len(members) > 1 else members[0]
    if other == members[0]:
        return []
    return [
        (
            " ".join(f"{ascii_uppercase[level]}{code}" for level, code in enumerate(codes.codes[item].tolist())),
            titles[int(item)],
        )
        for item in (members[0], other)
    ]


def _tree(nodes: Sequence[Node], codes: ItemCodes) -> dict[str, Any]:
    """The tree for ``sunburst.js``: parent, last code (-1: others), items, codes, words, example of each node."""
    rows = [
        (node.parent, node.prefix[-1] if node.prefix else -1, node.items, node.codes, " ".join(node.words), node.example)
        for node in nodes
    ]
    return {"letters": ascii_uppercase[: min(DEPTH, codes.learned.shape[1])], "nodes": rows}
