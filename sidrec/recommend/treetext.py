"""The beam tree on a terminal: a line a level, then the branches that went on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from sidrec.recommend.beamtree import Branch, Left, Level

ENDS = 50  # ends of branches that are drawn at most, the best ones
_FILTERED, _PRUNED, _ANSWER = "dark_orange3", "dim", "bold green"


def show_tree(root: Branch, levels: Sequence[Level], titles: Sequence[str], console: Console) -> None:
    """Print; titles are untrusted and printed as they are, without markup."""
    if not levels:
        console.print(Text("No search: no item is eligible.", style="yellow"))
        return
    ends = sorted(root.ends(), key=lambda end: (min(end.ranks, default=len(titles)), -end.probability))[:ENDS]
    shown = {end.codes[:depth] for end in ends for depth in range(len(end.codes) + 1)}
    tree = Tree(Text("the request", style="bold"), guide_style="dim")
    _grow(tree, root, shown, titles)
    console.print(Group(_table(levels), Text(), tree), overflow="ellipsis", no_wrap=True)


def _table(levels: Sequence[Level]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("level")
    for name in ("candidates", "went on", "pruned", "filtered"):
        table.add_column(name, justify="right")
    table.add_column("best left behind", ratio=1, no_wrap=True, overflow="ellipsis")
    for level in levels:
        counts = [str(left.count if left else 0) for left in (level.pruned, level.filtered)]
        said = Text()
        for left, mark, style in ((level.filtered, "✗ ", _FILTERED), (level.pruned, "", _PRUNED)):
            if left:
                said.append(f"{' ' if said else ''}{mark}{left.best} {share(left.probability)} {left.name}", style)
        table.add_row(level.name, str(level.considered), str(level.kept), *counts, said)
    return table


def _grow(tree: Tree, branch: Branch, shown: set[tuple[int, ...]], titles: Sequence[str]) -> None:
    for child in branch.children:
        if child.codes not in shown:
            continue
        line = Text(child.label)
        while len(child.children) == 1 and not child.pruned and not child.filtered:  # an only child stands in its line
            child = child.children[0]
            line.append(f" {child.label}")
        line.append(f"  {share(child.probability)}", "cyan")
        if child.ranks:
            for rank, item in zip(child.ranks, child.items, strict=True):
                line.append(f"  #{rank} {titles[item]}", _ANSWER)
        else:
            line.append(f"  {child.name}")
            if child.eligible > 1:
                line.append(f"  ({child.eligible:,} items)", "dim")
        _grow(tree.add(line), child, shown, titles)
    if hidden := sum(child.codes not in shown for child in branch.children):
        tree.add(Text(f"{hidden} more that went on", style=_PRUNED))
    for left, mark, word, style in ((branch.pruned, "", "pruned", _PRUNED), (branch.filtered, "✗ ", "filtered", _FILTERED)):
        if left:
            tree.add(Text(f"{mark}{left.count} {word}, best {_best(left)}", style=style))


def _best(left: Left) -> str:
    return f"{left.best} {share(left.probability)} {left.name}"


def share(probability: float) -> str:
    """A probability to two digits.

    >>> share(0.123), share(0.00012)
    ('12 %', '0.012 %')
    """
    return f"{100 * probability:.2g} %" if probability < 0.995 else "100 %"
