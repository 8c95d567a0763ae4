"""``sidrec recommend --explain``: the beam tree of an answer, on a terminal and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from sidrec import columns as c
from sidrec.artifacts import write_file
from sidrec.ask.answer import Answerer
from sidrec.ask.shown import Answer
from sidrec.log import say
from sidrec.recommend.beamtree import Names, candidates, grow, levels_of
from sidrec.recommend.treepicture import tree_picture
from sidrec.recommend.treetext import show_tree


def explain_answer(answerer: Answerer, answer: Answer, console: Console | None, picture: Path | None) -> list[dict[str, Any]]:
    """Print the tree, and draw it to ``picture`` with its numbers (``.csv``) and what it shows in words (``.txt``) beside.

    Returns every candidate of every level as plain values.
    """
    explanation = answerer.explain(answer)
    titles = answerer.corpus.items[c.TITLE].to_list()
    names = Names(answerer.recommender.trie, titles)
    root, levels = grow(explanation, names, answerer.codes.codes), levels_of(explanation, names)
    if console is not None:
        console.print()
        show_tree(root, levels, titles, console)
    if picture is not None:
        drawn = tree_picture(explanation, root, levels, titles, answer.asked)
        for suffix, data in ((".svg", drawn.file), (".csv", drawn.csv), (".txt", f"{drawn.alt}\n".encode())):
            write_file(picture.with_suffix(suffix), data)
        say(f"drawn: {picture}, its numbers in {picture.with_suffix('.csv').name}")
    return candidates(explanation)
