"""Conditions on catalogue columns: a text like ``price < 30 and category has "Cats"`` to one boolean an item.

Parsed and checked, never evaluated as code. The grammar is in ``parser.py``, the meaning of each condition in ``masks.py``.
"""

from sidrec.recommend.expressions.columns import FilterColumns
from sidrec.recommend.expressions.filter import Filter, Match
from sidrec.recommend.expressions.syntax import Node, show

__all__ = ["Filter", "FilterColumns", "Match", "Node", "show"]
