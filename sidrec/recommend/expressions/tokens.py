"""A filter's text cut into words, values and signs, and errors that point into it."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from sidrec.errors import ConfigError
from sidrec.recommend.expressions.syntax import COMPARISONS, KEYWORDS, Value

MAX_CHARS = 10_000  # a filter comes from a web request, too
_SHOWN = 36  # characters of a long filter that are shown on either side of the place of an error

Kind = Literal["keyword", "column", "value", "sign", "end"]
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TEXT = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'""", re.DOTALL)
_NAME = re.compile(r"`((?:[^`]|``)+)`")
_WORD = re.compile(r"\w+")
_SIGNS = ("==", "<>", *COMPARISONS, "(", ")", ",")
_SPELLED: dict[str, str] = {"==": "=", "<>": "!="}
_HINTS = {"&": "write 'and'", "|": "write 'or'", "!": "write 'not'", "≤": "write <=", "≥": "write >=", "≠": "write !=",
          "“": 'a text stands in straight quotes: "..."', "”": 'a text stands in straight quotes: "..."'}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` is a keyword in small letters, a column's name, a sign, or a value as it was written; ``at``: its place."""

    kind: Kind
    text: str
    at: int
    value: Value = ""


def complain(text: str, at: int, sentence: str) -> ConfigError:
    """An error that shows the place: the sentence, the text around it, and a caret below.

    >>> print(complain("price < cheap", 8, "a value is expected"))
    filter, character 9: a value is expected
      price < cheap
              ^
    """
    start = max(0, at - _SHOWN)
    before, behind = (_one_line(part) for part in (text[start:at], text[at : at + _SHOWN]))
    head, tail = "..." if start else "", "..." if at + _SHOWN < len(text) else ""
    indent = " " * cell_len(f"  {head}{before}")
    return ConfigError(f"filter, character {at + 1}: {_one_line(sentence)}\n  {head}{before}{behind}{tail}\n{indent}^")


def _one_line(text: str) -> str:
    """As many characters, none of which moves a cursor, turns the direction of writing or breaks the line."""
    return "".join(" " if letter.isspace() else letter if letter.isprintable() else "?" for letter in text)


def tokens(text: str) -> list[Token]:
    """All tokens, and an ``end`` behind them.

    Raises:
        ConfigError: the text is too long or holds half a character, a quote is not closed, or a sign is not known.
    """
    if len(text) > MAX_CHARS:
        raise ConfigError(f"a filter may have {MAX_CHARS:,} characters, this one has {len(text):,}: use an allow-list of ids")
    if half := _SURROGATE.search(text):  # of a byte that is not UTF-8, or a JSON escape: no text library takes it
        raise complain(text, half.start(), "half a character (a lone surrogate); a filter is UTF-8 text")
    found: list[Token] = []
    at = 0
    while True:
        if (space := _SPACE.match(text, at)) is not None:
            at = space.end()
        if at >= len(text):
            found.append(Token("end", "the end", len(text)))
            return found
        token, at = _next(text, at)
        found.append(token)


def _next(text: str, at: int) -> tuple[Token, int]:
    if match := _NUMBER.match(text, at):
        if text[match.end() : match.end() + 1].isalnum():
            word = re.match(r"\S+", text[at:])
            raise complain(text, at, f'{word[0] if word else text[at]!r} is no number; a text stands in quotes: "..."')
        number = float(match[0])
        if not math.isfinite(number):
            raise complain(text, at, f"{match[0]} is too large a number")
        return Token("value", match[0], at, number), match.end()
    if match := _TEXT.match(text, at):
        inner = match[1] if match[1] is not None else match[2]
        value = re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)
        return Token("value", match[0], at, value), match.end()
    if match := _NAME.match(text, at):
        return Token("column", match[1].replace("``", "`"), at), match.end()
    if (match := _WORD.match(text, at)) and match[0].isidentifier():
        keyword = match[0].lower()
        if keyword in ("true", "false"):
            return Token("value", keyword, at, keyword == "true"), match.end()
        if keyword in KEYWORDS:
            return Token("keyword", keyword, at), match.end()
        return Token("column", unicodedata.normalize("NFC", match[0]), at), match.end()
    for sign in _SIGNS:
        if text.startswith(sign, at):
            return Token("sign", _SPELLED.get(sign, sign), at), at + len(sign)
    if text[at] in "\"'`":
        raise complain(text, at, f"this {text[at]} is not closed")
    hint = f"; {_HINTS[text[at]]}" if text[at] in _HINTS else ""
    raise complain(text, at, f"{_one_line(text[at])!r} has no meaning here{hint}")
