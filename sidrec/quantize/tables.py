"""Figures of ``health.json`` as the tables of the page and the lines of the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sidrec.page import percent
from sidrec.quantize import gate
from sidrec.quantize.tree import Node

Table = dict[str, Any]
"""What the template's table macro takes: ``head``, and ``rows`` of a name and cells: text, and whether it is marked."""
_LARGEST = 20


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Table:
    return {"head": head, "rows": [(name, [(cell, False) for cell in cells]) for name, cells in rows]}


def largest(nodes: Sequence[Node]) -> Table:
    """The largest first codes."""
    top = [node for node in nodes if node.parent == 0 and not node.merged][:_LARGEST]
    whole = nodes[0].items
    rows = [
        (node.name, (f"{node.items:,}", f"{percent(node.items / whole)}", " ".join(node.words), node.example)) for node in top
    ]
    return _table(("code", "items", "%", "words", "for example"), rows)


def levels(health: Mapping[str, Any]) -> Table:
    """Size, use and error of each level; ``example`` says perplexity in words."""
    rows = []
    for level in health["levels"]:
        learned = "residual" in level
        left = f"{percent(level['residual'] / health['spread'])} %" if learned and health["spread"] else "–"
        cells = (
            f"{level['size']:,}",
            f"{level['used']:,}",
            f"{level['perplexity']:,.1f}",
            f"{level['residual']:.4f}" if learned else "–",
            left,
        )
        rows.append((level["level"] if learned else f"{level['level']} (ties)", cells))
    first = health["levels"][0]
    example = f"{first['level']} has {first['size']:,} codes and works as if it had {first['perplexity']:,.0f} used alike"
    return _table(("level", "codes", "used", "perplexity", "residual", "left over"), rows) | {"example": example}


def groups(health: Mapping[str, Any]) -> Table:
    """How many items share a code."""
    rows = [
        (row["items_a_code"], (f"{row['codes']:,}", f"{row['items']:,}", percent(row["items"] / health["items"])))
        for row in health["group_sizes"]
    ]
    return _table(("items a code", "codes", "items", "% of items"), rows)


def moving(health: Mapping[str, Any]) -> Table | None:
    """Without and with moving, where items were moved."""
    if "collisions" not in health:
        return None
    rows = [
        (
            f"{row['moving']} moving",
            (
                percent(row["unique_share"]),
                percent(row["distinct_share"]),
                f"{row['largest_group']:,}",
                percent(row["tied_purchases_share"]),
                f"{row['residual']:.4f}",
            ),
        )
        for row in health["collisions"]
    ]
    head = ("codes", "own code, %", "distinct codes, %", "largest group", "purchases that tie, %", "residual")
    return _table(head, rows)


def overlap(health: Mapping[str, Any]) -> Table:
    """Neighbours by code and by vector."""
    near = health["neighbours"]
    cutoffs = [name.removeprefix("overlap@") for name in near if name.startswith("overlap@")]
    kinds = (
        ("overlap", "vectors the codes were made from"),
        ("text_overlap", "text vectors"),
        ("chance", "codes given out blindly"),
    )
    rows = [
        (named, [percent(near[f"{kind}@{k}"]) for k in cutoffs])
        for kind, named in kinds
        if cutoffs and f"{kind}@{cutoffs[0]}" in near
    ]
    return _table(("nearest by code against", *(f"{k} nearest" for k in cutoffs)), rows)


def prefixes(health: Mapping[str, Any]) -> Table:
    """Prefixes in use, and their purity where items have categories."""
    rows = [
        (
            row["prefix"],
            [
                f"{row['in_use']:,}",
                f"{row['largest']:,}",
                *([percent(row["purity"]), percent(row["chance"])] if "purity" in row else []),
            ],
        )
        for row in health["prefixes"]
    ]
    extra = ("purity", "by chance") if any("purity" in row for row in health["prefixes"]) else ()
    return _table(("prefix", "in use", "items of the largest", *extra), rows)


def summary(health: Mapping[str, Any], judged: Sequence[gate.Check]) -> list[str]:
    """What a terminal shows: a table of the levels, and the verdict."""
    lines = [f"{'level':<9}{'codes':>7}{'used':>7}{'perplexity':>12}{'left over':>11}"]
    for level in health["levels"]:
        learned = "residual" in level
        name = level["level"] if learned else f"{level['level']} (ties)"
        left = f"{percent(level['residual'] / health['spread'])} %" if learned and health["spread"] else "–"
        lines.append(f"{name:<9}{level['size']:>7,}{level['used']:>7,}{level['perplexity']:>12,.1f}{left:>11}")
    near = health["neighbours"].get("overlap@10")
    kept = f"; {percent(near)} % of an item's ten nearest stay nearest" if near is not None else ""
    lines.append(
        f"{percent(health['unique_share'])} % of items with a code of their own, "
        f"largest group {health['largest_group']:,}{kept}"
    )
    return [*lines, gate.headline(health, judged)]
