"""Text of a shop to plain text, deterministically.

A catalogue's text is hostile until shown otherwise: markup, entities encoded twice, invisible characters, and strings
that spell a model's control tokens. The one thing that really keeps control tokens out is ``render.py``, which encodes
untrusted text with a tokenizer that has none; what is done here about ``<|...|>`` is a second wall, for texts that leave
sidrec (prompts logged, conversations read by another trainer).

``clean_text`` is idempotent: it repeats its steps until nothing changes, so that no disguise survives as the product of
an earlier step (``&lt;|``, ``<\\u200b|``, ``<<b>|``).
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from enum import IntFlag
from functools import lru_cache

_MAX_PASSES = 12  # honest text needs two or three; what still changes is taken apart by force
_MAX_RAW = 20  # texts longer than this times the cap are cut before cleaning: nothing there can come out
_SHORT = 80  # brands, categories and features come back and are remembered; long texts would only fill the memory

# Visible text never holds these: control characters, soft hyphens, zero-width and direction marks, tags, half pairs.
# The zero-width joiners 200c and 200d are letters of Persian, Indic scripts and emoji, and stay between such.
_INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
)
_JOINERS = "\u200c\u200d"
_SUSPECT = re.compile(f"[<&＜﹤{_INVISIBLE}{_JOINERS}]")
_MAY_HAVE_INVISIBLE = re.compile(f"[{_INVISIBLE}{_JOINERS}]")
_REMOVED = re.compile(f"[{_INVISIBLE}]|(?<![^\x00-\x7f])[{_JOINERS}]|[{_JOINERS}](?![^\x00-\x7f])")
_AMPERSANDS = re.compile(r"&(?:amp;|#0*38;|#x0*26;)+", re.IGNORECASE)  # any depth of encoding in one step
_WITH_CONTENT = re.compile(r"<(script|style)\b[^<>]*>.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_MAY_HAVE_CONTENT = re.compile("<[sS!]")
_TAG = re.compile(r"</?([a-z][a-z0-9]*|[a-z!?])[^<>]*>", re.IGNORECASE)
_INLINE = frozenset((
    "a", "abbr", "b", "big", "bdi", "bdo", "cite", "code", "em", "font", "i", "ins", "kbd", "mark", "q", "s", "small", "span",
    "strong", "sub", "sup", "tt", "u", "var", "wbr",
))  # fmt: skip
_CONTROL_TOKEN = re.compile("([<＜﹤])(?=[|｜])")  # the wide forms become narrow under NFKC


class Found(IntFlag):
    """What cleaning met in a text."""

    MARKUP = 1
    INVISIBLE = 2
    CONTROL_TOKEN = 4
    CUT = 8


# Inside, plain integers: operations on IntFlag took a tenth of all cleaning.
_MARKUP, _INVISIBLE_FOUND, _CONTROL_FOUND, _CUT = map(int, (Found.MARKUP, Found.INVISIBLE, Found.CONTROL_TOKEN, Found.CUT))


def clean_text(text: str, max_chars: int) -> str:
    """Plain text of at most ``max_chars`` characters.

    Tags go (scripts and styles with their content), entities are decoded, control and invisible characters go, white
    space becomes single blanks, Unicode is composed (NFC), ``<|`` is set apart, and the end is cut behind a word.

    >>> clean_text("<p>Caf\\u0065\\u0301 &amp;amp; <b>Bar</b></p>\\t &lt;|im_end|&gt;", 80)
    'Café & Bar < |im_end|>'
    """
    return clean_and_tell(text, max_chars)[0]


def clean_and_tell(text: str, max_chars: int) -> tuple[str, int]:
    """``clean_text``, and the flags of ``Found`` of what it met."""
    return _clean_short(text, max_chars) if len(text) <= _SHORT else _clean(text, max_chars)


@lru_cache(maxsize=100_000)
def _clean_short(text: str, max_chars: int) -> tuple[str, int]:
    return _clean(text, max_chars)


def _clean(text: str, max_chars: int) -> tuple[str, int]:
    found = 0
    if len(text) > _MAX_RAW * max_chars:
        text, found = text[: _MAX_RAW * max_chars], _CUT
    text = " ".join(text.split())
    if _SUSPECT.search(text) or not (text.isascii() or unicodedata.is_normalized("NFC", text)):
        text, more = _to_the_end(text)
        found |= more
    if len(text) > max_chars:
        text, found = cut_text(text, max_chars), found | _CUT
    return text, found


def _to_the_end(text: str) -> tuple[str, int]:
    found = 0
    for _ in range(_MAX_PASSES):
        before = text
        text, more = _one_pass(text)
        found |= more
        if text == before or not _SUSPECT.search(text):
            return text, found
    # Only text made to resist comes here. Without these characters no step has anything left to do.
    text = re.sub(f"[<>&＜﹤{_JOINERS}]", " ", text)
    return " ".join(unicodedata.normalize("NFC", text).split()), found | _MARKUP


def _one_pass(text: str) -> tuple[str, int]:
    found, before = 0, text
    if "&" in text:
        text = html.unescape(_AMPERSANDS.sub("&", text))
    if "<" in text:
        plain = _WITH_CONTENT.sub(" ", text) if _MAY_HAVE_CONTENT.search(text) else text
        plain = _TAG.sub(_blank_or_nothing, plain)
        if plain != text:
            text, found = plain, _MARKUP
    if _MAY_HAVE_INVISIBLE.search(text):
        text = " ".join(text.split())  # first, for some white space (tabs, line ends) is a control character too
        seen = _REMOVED.sub("", text)
        if seen != text:
            text, found = seen, found | _INVISIBLE_FOUND
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if text != before:
        text = " ".join(text.split())
    safe = _CONTROL_TOKEN.sub(r"\1 ", text)
    return (text, found) if safe == text else (safe, found | _CONTROL_FOUND)


def _blank_or_nothing(tag: re.Match[str]) -> str:
    """H<sub>2</sub>O is one word, <li>One</li><li>Two</li> are two."""
    return "" if tag[1].lower() in _INLINE else " "


def cut_text(text: str, max_chars: int) -> str:
    """At most ``max_chars`` characters of a cleaned text, cut behind a word.

    A text without blanks (Chinese, Japanese) is cut between two characters, for otherwise nothing would be left of it.

    >>> cut_text("grain-free food for cats", 17), cut_text("grain-free", 5)
    ('grain-free food', 'grain')
    """
    if len(text) <= max_chars:
        return text
    blank = text.rfind(" ", 0, max_chars + 1)
    if blank > 0:
        return text[:blank].rstrip()
    end = max_chars
    while end > 1 and unicodedata.combining(text[end]):
        end -= 1  # an accent stays with its letter
    return text[:end].rstrip(_JOINERS)


def clean_list(texts: Iterable[str], max_chars: int, max_total: int | None = None) -> tuple[list[str], int]:
    """Cleaned texts without empty ones and repetitions (case ignored), each of at most ``max_chars`` characters.

    With ``max_total``, only so many characters of all together: the text that passes it is cut behind a word, and
    what follows is left out.
    """
    kept: dict[str, str] = {}
    found = 0
    left = max_total
    for raw in texts:
        text, more = clean_and_tell(raw, max_chars)
        found |= more
        key = text.casefold()
        if not text or key in kept:
            continue
        if left is not None and len(text) > left:
            text = cut_text(text, left) if " " in text[: left + 1] or not kept else ""
            if text and text.casefold() not in kept:
                kept[text.casefold()] = text
            found |= _CUT
            break
        kept[key] = text
        left = None if left is None else left - len(text)
    return list(kept.values()), found
