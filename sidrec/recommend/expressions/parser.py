"""A filter's text to its tree, by recursive descent.

::

    filter    := all ("or" all)*
    all       := one ("and" one)*
    one       := "not" one | "(" filter ")" | condition
    condition := column                                    a column of truth values, alone
               | column ("=" | "!=" | "<" | "<=" | ">" | ">=") value
               | column "between" value "and" value        both ends included
               | column ["not"] "in" "(" value ("," value)* ")"
               | column "has" text                         a list has this entry
               | column "contains" text                    this is somewhere in the text, or in an entry of the list
               | column "is" ["not"] "missing"
    column    := word | "`" any name "`"                   a backtick in the name is written twice
    value     := number | text | "true" | "false"
    text      := '"' ... '"' | "'" ... "'"                 a backslash takes the next character as it is

Keywords in any case; ``==`` and ``<>`` are read as ``=`` and ``!=``.
"""

from __future__ import annotations

from collections.abc import Callable

from sidrec.errors import ConfigError
from sidrec.recommend.expressions.syntax import COMPARISONS, And, Condition, Node, Not, Or, Test, conditions
from sidrec.recommend.expressions.tokens import Token, complain, tokens

MAX_DEPTH = 50  # brackets and "not" inside each other
MAX_CONDITIONS = 200  # at 1 M items each costs milliseconds


def parse(text: str) -> Node:
    """The tree of a filter; whether its columns exist is not looked at.

    Raises:
        ConfigError: the text is no filter; shows the place.

    >>> from sidrec.recommend.expressions.syntax import show
    >>> show(parse("price<30 AND (category has 'Cats' or not in_stock)"))
    'price < 30 and (category has "Cats" or not in_stock)'
    """
    parser = _Parser(text)
    node = parser.filter(0)
    if parser.now.kind != "end":
        raise parser.expected("'and', 'or' or the end")
    if (count := sum(1 for _ in conditions(node))) > MAX_CONDITIONS:
        raise complain(text, 0, f"{count} conditions, and a filter may have {MAX_CONDITIONS}: use 'in (...)', or an allow-list")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._next = text, tokens(text), 0

    @property
    def now(self) -> Token:
        return self._tokens[self._next]

    def filter(self, depth: int) -> Node:
        return self._joined("or", Or, lambda: self._joined("and", And, lambda: self._one(depth)))

    def expected(self, what: str, hint: str = "") -> ConfigError:
        return complain(self._text, self.now.at, f"{what} is expected, not {self.now.text}{hint}")

    def _joined(self, word: str, kind: type[And] | type[Or], part: Callable[[], Node]) -> Node:
        terms = [part()]
        while self._take(word):
            terms.append(part())
        return kind(tuple(terms)) if len(terms) > 1 else terms[0]

    def _one(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise complain(self._text, self.now.at, f"more than {MAX_DEPTH} brackets and 'not' inside each other")
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            node = self.filter(depth + 1)
            self._require(")")
            return node
        return self._condition()

    def _condition(self) -> Condition:
        token = self.now
        if token.kind != "column":
            hint = ""
            if token.kind == "value" and isinstance(token.value, str):
                hint = "; a column's name stands without quotes"
            elif token.kind == "keyword":
                hint = "; a column of that name stands in backticks"
            raise self.expected("a column, 'not' or '('", hint)
        self._next += 1
        test, values = self._test()
        return Condition(token.text, test, tuple(v.value for v in values), token.at, tuple(v.at for v in values))

    def _test(self) -> tuple[Test, list[Token]]:
        for comparison in COMPARISONS:
            if self._take(comparison):
                return comparison, [self._value()]
        if self._take("has"):
            return "has", [self._value()]
        if self._take("contains"):
            return "contains", [self._value()]
        if self._take("between"):
            low = self._value()
            self._require("and")
            return "between", [low, self._value()]
        if self._take("is"):
            negated = self._take("not")
            self._require("missing")
            return ("is not missing" if negated else "is missing"), []
        negated = self._take("not")
        if negated or (self.now.text == "in" and self.now.kind == "keyword"):
            self._require("in")
            return ("not in" if negated else "in"), self._choices()
        return "is true", []

    def _choices(self) -> list[Token]:
        self._require("(")
        found = [self._value()]
        while self._take(","):
            found.append(self._value())
        self._require(")")
        return found

    def _value(self) -> Token:
        token = self.now
        if token.kind != "value":
            hint = '; a text stands in quotes: "..."' if token.kind in ("column", "keyword") else ""
            raise self.expected("a number, a text or true or false", hint)
        self._next += 1
        return token

    def _take(self, text: str) -> bool:
        found = self.now.kind in ("keyword", "sign") and self.now.text == text
        self._next += found
        return found

    def _require(self, text: str) -> None:
        if not self._take(text):
            raise self.expected(f"'{text}'")
