"""ROUGE-L, exact match, and the text of the nearest code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from sidrec.evaluate.texts import exact, nearest_by_code, rouge_l


def test_by_hand() -> None:
    # "the cat on mat" of 4 tokens against "the cat sat on the mat" of 6: c = 4, p = 1, r = 4/6
    assert rouge_l(["the cat on mat"], ["The cat sat on the mat!"]).tolist() == pytest.approx([0.8])
    assert rouge_l(["", "dog", "same"], ["cat", "", "same"]).tolist() == [0, 0, 1]


@given(st.text(st.characters(codec="ascii"), max_size=40), st.text(st.characters(codec="ascii"), max_size=40))
def test_on_ascii_it_is_the_library_as_it_comes(one: str, other: str) -> None:
    expected = RougeScorer(["rougeL"]).score(other, one)["rougeL"].fmeasure
    assert rouge_l([one], [other])[0] == pytest.approx(expected)


@pytest.mark.parametrize("text", ["Трава для кошек", "猫の草", "χόρτο γάτας", "عشب القطط", "หญ้าแมว"])
def test_other_scripts_count_too(text: str) -> None:
    assert rouge_l([text], [text]).tolist() == [1.0]


def test_a_script_without_spaces_counts_by_character() -> None:
    assert rouge_l(["猫草"], ["猫薬"]).tolist() == [0.5]


def test_exact_forgives_white_space_at_the_ends_alone() -> None:
    assert exact([" Dog bed\n", "dog bed", "Dog bed"], ["Dog bed"] * 3).tolist() == [1, 0, 1]


def test_no_samples() -> None:
    assert rouge_l([], []).shape == exact([], []).shape == (0,)


def test_the_nearest_code_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(4, size=(60, 3)), axis=0).astype(np.int32)
    rng.shuffle(codes)
    eligible = rng.random(len(codes)) < 0.5

    def shared(a: int, b: int) -> int:
        same = codes[a] == codes[b]
        return 3 if same.all() else int(np.argmin(same))

    for item, found in enumerate(nearest_by_code(codes, eligible).tolist()):
        others = [i for i in np.flatnonzero(eligible).tolist() if i != item]
        assert found == min(others, key=lambda i: (-shared(item, i), i))


def test_nobody_near() -> None:
    codes = np.array([[0, 0], [0, 1]], dtype=np.int32)
    assert nearest_by_code(codes, np.array([True, False])).tolist() == [-1, 0]
    assert nearest_by_code(codes, np.array([False, False])).tolist() == [-1, -1]
