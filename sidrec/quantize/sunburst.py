"""The tree of semantic IDs as rings: A inside, then AB, then ABC; an arc is as wide as its prefix has items."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from html import escape

from sidrec.drawing import GRID, INK, Picture, picture_from_svg
from sidrec.quantize.tree import DEPTH, Node, tree_table

SIDE = 400
HOLE, EDGES = 44.0, (118.0, 160.0, 198.0)
NARROWEST = 0.3  # degrees: a pixel and a half at the rim
_LETTER, _LINE = 5.4, 9.5  # of the labels: mean width, height
_SAID = 8


def sunburst(nodes: Sequence[Node]) -> Picture:
    """The whole tree, for nodes of ``sid_tree``. Arcs under 0.3 degrees are drawn as one pale arc a parent.

    Its numbers are all nodes, the ones too narrow to draw too.
    """
    total = nodes[0].items
    starts = angles(nodes)
    shapes: list[str] = []
    labels: list[str] = []
    narrow: dict[int, float] = {}  # parent -> degrees that were too narrow, or merged before
    for at, node in enumerate(nodes[1:], 1):
        wide = 360 * node.items / total
        drawn_parent = node.parent == 0 or 360 * nodes[node.parent].items / total >= NARROWEST
        if not drawn_parent:
            continue
        if node.merged or wide < NARROWEST:
            narrow[node.parent] = narrow.get(node.parent, 0.0) + wide
            continue
        depth = len(node.prefix)
        inner, outer = ring(depth)
        at_degrees = starts[at] + wide / 2
        drawn_as = f'fill="{colour(at_degrees, depth)}" stroke-width="{min(0.5, 0.12 * wide):.2f}"'
        shapes.append(f'<path {drawn_as} d="{arc(starts[at], wide, inner, outer)}"/>')
        if node.words and wide / 360 * math.tau * (inner + outer) / 2 >= _LINE and depth == 1:
            labels.append(_label(node.words, at_degrees, inner, outer))
    for parent, wide in narrow.items():
        inner, outer = ring(len(nodes[parent].prefix) + 1)
        end = starts[parent] + 360 * nodes[parent].items / total
        pale = arc(end - wide, wide, inner, outer)
        shapes.append(f'<path fill="{GRID}" fill-opacity=".45" d="{pale}"/>')
    middle = f'transform="translate({SIDE // 2} {SIDE // 2})"'
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{2 * SIDE}" height="{2 * SIDE}">'
        f'<g {middle} stroke="#ffffff" stroke-opacity=".6" stroke-width=".1">'
        f"{''.join(shapes)}</g>"
        f'<g {middle} font-family="system-ui, sans-serif" font-size="9.5" fill="#15171a">{"".join(labels)}</g>'
        f'<g {middle} font-family="system-ui, sans-serif" text-anchor="middle" fill="{INK}">'
        f'<text y="-2" font-size="13">{total:,}</text><text y="12" font-size="10">items</text></g></svg>'
    )
    return picture_from_svg("sunburst", "The tree of semantic IDs", _alt(nodes), drawn, tree_table(nodes))


def angles(nodes: Sequence[Node]) -> list[float]:
    """Where each node's arc begins, in degrees from the top, clockwise: children side by side from their parent's start."""
    total = nodes[0].items
    starts = [0.0] * len(nodes)
    filled = [0.0] * len(nodes)
    for at, node in enumerate(nodes[1:], 1):
        starts[at] = starts[node.parent] + filled[node.parent]
        filled[node.parent] += 360 * node.items / total
    return starts


def ring(depth: int) -> tuple[float, float]:
    """Inner and outer radius of the prefixes of a length."""
    return (HOLE if depth == 1 else EDGES[depth - 2]), EDGES[min(depth, DEPTH) - 1]


def arc(start: float, wide: float, inner: float, outer: float) -> str:
    """A path; a full ring is two halves, as an arc that ends where it began is nothing."""
    if wide >= 359.99:
        return arc(0, 180, inner, outer) + arc(180, 180, inner, outer)
    end = start + wide
    large = int(wide > 180)
    return (
        f"M{_point(outer, start)}A{outer:g} {outer:g} 0 {large} 1 {_point(outer, end)}"
        f"L{_point(inner, end)}A{inner:g} {inner:g} 0 {large} 0 {_point(inner, start)}Z"
    )


def colour(middle: float, depth: int) -> str:
    """The hue goes once round, deeper rings are paler; dark text can be read on all of them."""
    red, green, blue = colorsys.hls_to_rgb(middle / 360 % 1, (0.66, 0.74, 0.82)[depth - 1], 0.55)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _point(radius: float, degrees: float) -> str:
    angle = math.radians(degrees - 90)
    return f"{radius * math.cos(angle):.2f} {radius * math.sin(angle):.2f}"


def _label(words: Sequence[str], middle: float, inner: float, outer: float) -> str:
    """As many words as fit, along the radius, and never upside down."""
    fits = int((outer - inner - 8) / _LETTER)
    text = words[0] if len(words[0]) <= fits else words[0][: fits - 1] + "…"
    for word in words[1:]:
        if len(text) + 1 + len(word) <= fits:
            text += f" {word}"
    left = middle > 180
    turn = middle - 90 + (180 if left else 0)
    x, anchor = (4 - outer, "start") if left else (outer - 4, "end")  # at the rim, where arcs are widest
    return f'<text transform="rotate({turn:.2f})" x="{x:.1f}" y="3.2" text-anchor="{anchor}">{escape(text)}</text>'


def _alt(nodes: Sequence[Node]) -> str:
    tops = [node for node in nodes if node.parent == 0]
    named = [node for node in tops if not node.merged][:_SAID]
    said = "; ".join(f"{node.name}: {node.items:,} items, {' '.join(node.words) or 'no words'}" for node in named)
    several = sum(node.codes for node in tops)
    return (
        f"Rings of the tree of semantic IDs over {nodes[0].items:,} items: {several:,} first codes inside, around them the "
        f"pairs and triples of codes. The largest first codes: {said}."
    )
