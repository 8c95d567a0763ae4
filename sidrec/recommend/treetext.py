"""The beam tree on a terminal: a line a level, then the branches that went on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from sidrec.recommend.beamtree import Branch, Left, Level, best_ends

_ENDS = 12  # ends of branches that are shown at most beside those of the answer: a screen, not a scroll
_FILTERED, _PRUNED, _ANSWER = "dark_orange3", "dim", "bold green"
_NAME_CHARS = 32


def show_tree(root: Branch, levels: Sequence[Level], titles: Sequence[str], console: Console) -> None:
    """Print; titles are untrusted and printed as they are, without markup."""
    if not levels:
        console.print(Text("No search: no item is eligible.", style="yellow"))
        return
    tree = Tree(Text("the request", style="bold"), guide_style="dim")
    _grow(tree, root, best_ends(root, _ENDS), titles)
    console.print(_table(levels))
    console.print()
    console.print(tree, overflow="ellipsis", no_wrap=True)


def _table(levels: Sequence[Level]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("level", "candidates", "went on", "pruned", "filtered"):
        table.add_column(name, justify="left" if name == "level" else "right", min_width=len(name))
    # Its texts are cut, but the column may wrap: rich takes the room of one that may not from the others, to nothing.
    table.add_column("best left behind", ratio=1)
    for level in levels:
        counts = [str(left.count if left else 0) for left in (level.pruned, level.filtered)]
        table.add_row(level.name, str(level.considered), str(level.kept), *counts, _behind(level.pruned, level.filtered, ""))
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
            line.append(f"  ({child.eligible:,} items)" if child.eligible > 1 else "", "dim")
        _grow(tree.add(line), child, shown, titles)
    if hidden := [child for child in branch.children if child.codes not in shown]:
        best = hidden[0]
        tree.add(Text(f"{len(hidden)} more went on, best {best.label} {share(best.probability)} {best.name}"))
    if behind := _behind(branch.pruned, branch.filtered, "{} pruned, best "):
        tree.add(behind)


def _behind(pruned: Left | None, filtered: Left | None, counted: str) -> Text:
    """What did not go on, the filtered marked; ``counted`` has a place for the number."""
    said = Text(no_wrap=True, overflow="ellipsis")
    chars = _NAME_CHARS // 2 if pruned and filtered else _NAME_CHARS
    words = counted.replace("pruned", "filtered")
    for left, before, style in ((pruned, counted, _PRUNED), (filtered, f"✗ {words}", _FILTERED)):
        if left:
            said.append("  " if said else "")
            said.append(f"{before.format(left.count)}{left.best} {share(left.probability)} {_cut(left.name, chars)}", style)
    return said


def _cut(name: str, chars: int) -> str:
    return name if len(name) <= chars else f"{name[: chars - 1]}…"


def share(probability: float) -> str:
    """A probability to two digits.

    >>> share(0.123), share(0.00012)
    ('12 %', '0.012 %')
    """
    return f"{100 * probability:.2g} %" if probability < 0.995 else "100 %"
