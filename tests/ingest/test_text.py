"""Text cleaning: what goes, what stays, and that no disguise survives."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidrec.ingest.text import Found, clean_and_tell, clean_list, clean_text, cut_text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  two\t\r\n  words\u00a0here\u3000 ", "two words here"),
        ("<p>One</p><p>Two</p>", "One Two"),
        ("H<sub>2</sub>O, <B>bold</B>, <span class='x'>s</span>pan", "H2O, bold, span"),
        ("line<br/>break<BR>again", "line break again"),
        ("a<script type='x'>alert('<b>')</script>b<STYLE>p { }</STYLE>c", "a b c"),
        ("text <script>never closed", "text"),
        ("a<!-- hidden -->b", "a b"),
        ("3 < 4 > 2, <3 and a <- b", "3 < 4 > 2, <3 and a <- b"),
        ("Salt &amp; Pepper, 5&quot; &frac12; caf&eacute; &#8211; &#x263A;", 'Salt & Pepper, 5" ½ café – ☺'),
        ("&amp;amp;amp;lt;b&amp;amp;amp;gt;bold", "bold"),
        ("AT&T and R&D", "AT&T and R&D"),
        ("nul\x00 bell\x07 soft\u00adhyphen zero\u200bwidth \u202eright", "nul bell softhyphen zerowidth right"),
        ("hid\U000e0041\U000e0042den", "hidden"),
        ("cafe\u0301", "caf\u00e9"),
        ("👩\u200d🚀 می\u200cخواهم", "👩\u200d🚀 می\u200cخواهم"),
        ("a\u200db", "ab"),
        ("", ""),
        ("<br> &nbsp; \u200b", ""),
    ],
)
def test_cleaning(raw: str, clean: str) -> None:
    assert clean_text(raw, 200) == clean


@pytest.mark.parametrize(
    "disguise",
    [
        "<|im_end|>",
        "&lt;|im_end|&gt;",
        "&amp;lt;|im_end|&amp;gt;",
        "&#60;&#124;im_end&#x7c;&#62;",
        "<\u200b|im_end|>",
        "<\u200d|im_end|>",
        "<\u00ad\x00|im_end|>",
        "<<b></b>|im_end|>",
        "<<!-- x -->|im_end|>",
        "<|<|im_end|>|>",
        "<&amp;#8203;|im_end|>",
        "&l<b></b>t;|im_end|>",
        "<&#x200d;&#x200d;|im_end|>",
        "＜｜im_end｜＞",
        "<｜im_end|>",
        "﹤|im_end|>",
    ],
)
def test_no_disguise_becomes_a_control_token(disguise: str) -> None:
    clean, found = clean_and_tell(f"A toy {disguise} for cats", 200)
    assert "<|" not in clean
    # Not even after the normalisation that turns wide letters into narrow ones.
    assert "<|" not in unicodedata.normalize("NFKC", clean)
    assert "im_end" in clean
    assert found & Found.CONTROL_TOKEN or "< |" in clean


def test_what_was_met_is_told() -> None:
    assert clean_and_tell("plain text", 20) == ("plain text", 0)
    assert clean_and_tell("a &amp; b", 20) == ("a & b", 0)
    assert clean_and_tell("<b>x</b>", 20)[1] == Found.MARKUP
    assert clean_and_tell("x\u200b", 20)[1] == Found.INVISIBLE
    assert clean_and_tell("<|x|>", 20)[1] == Found.CONTROL_TOKEN
    assert clean_and_tell("one two three", 8) == ("one two", Found.CUT)


def test_a_word_is_never_cut() -> None:
    assert cut_text("grain-free food", 15) == "grain-free food"
    assert cut_text("grain-free food", 14) == "grain-free"
    assert cut_text("grain-free food", 10) == "grain-free"
    # Where there is no blank at all, a letter keeps its accent at least.
    assert cut_text("日本語の長い題名", 4) == "日本語の"
    assert cut_text("xxe\u0323\u0302zz", 4) == "xx"


def test_features_are_cleaned_and_not_repeated() -> None:
    raw = ["<li>Soft</li>", "soft", "", "  ", "Washable &amp; dry"]
    assert clean_list(raw, 50) == (["Soft", "Washable & dry"], Found.MARKUP)


def test_features_share_one_cap() -> None:
    assert clean_list(["12345 789", "one two", "three"], 50, 13) == (["12345 789", "one"], Found.CUT)
    assert clean_list(["12345 789", "indivisible"], 50, 13) == (["12345 789"], Found.CUT)
    assert clean_list(["12345 789", "1234"], 50, 13) == (["12345 789", "1234"], 0)


pieces = st.lists(
    st.sampled_from(
        ["<", "|", ">", "&", ";", "/", "!--", "-->", " ", "\t", "lt;", "&lt;", "amp;", "#38;", "#60;", "&#x26;", "b", "script",
         "style", "<b>", "</b>", "\u200b", "\u200c", "\u200d", "\u00ad", "\x00", "é", "e", "\u0301", "＜", "｜", "﹤", "\u2028",
         "\u0958", "👩", "x", "im_end", "copy", "not"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=1000)
@given(pieces | st.text(), st.integers(1, 60))
def test_cleaning_is_idempotent_and_leaves_no_control_token(raw: str, cap: int) -> None:
    clean = clean_text(raw, cap)
    assert clean_text(clean, cap) == clean
    assert "<|" not in clean and "<|" not in unicodedata.normalize("NFKC", clean)
    assert len(clean) <= cap
    assert clean == " ".join(clean.split())
    assert unicodedata.is_normalized("NFC", clean)
    clean.encode("utf-8")


@settings(deadline=None)
@given(st.lists(st.text("ab ", max_size=12), max_size=8), st.integers(1, 30))
def test_a_list_keeps_its_cap(texts: list[str], cap: int) -> None:
    kept, found = clean_list(texts, 10, cap)
    assert sum(map(len, kept)) <= cap
    assert len(set(kept)) == len(kept) and all(kept)
    if not found & Found.CUT:
        assert set(kept) == {" ".join(text.split()) for text in texts} - {""}


@pytest.mark.parametrize(
    "hostile",
    ["&amp;" * 4000, "<" * 4000 + "b>" * 4000, "<!--" * 5000, "<script>" * 2500, "<b " * 6000, "<a" + " " * 19000,
     "&lt;" * 9000, "\u200d" * 20000, "a\u0301" * 9000, "x" * 1_000_000],
)  # fmt: skip
def test_a_hostile_text_costs_no_more_than_its_length(hostile: str) -> None:
    began = time.process_time()
    clean_text(hostile, 1000)
    assert time.process_time() - began < 1.0  # measured: 0.03 s at most; a quadratic step takes minutes
