"""Tasks that ask for text: ROUGE-L and exact match, and what the nearest item's text would score."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

# A script written without spaces counts by character; a word of any other script is one token.
_WORD = re.compile(
    r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


class _AnyScript(Tokenizer):  # type: ignore[misc]  # the library has no types
    """The library's own tokens on ASCII text; its default drops every other letter, so that a Greek title scores 0."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


def rouge_l(generated: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """ROUGE-L F1 of each pair, 0 to 1: float64 ``(B,)``. Lin, ROUGE (2004), by the library rouge-score, without stemming.

    With R and G the tokens of reference and output and c their longest common subsequence:
    ``p = c / len(G)``, ``r = c / len(R)``, ``F1 = 2 p r / (p + r)``.

    >>> rouge_l(["cat food"], ["dry cat food"]).round(3).tolist()  # c = 2, p = 1, r = 2/3
    [0.8]
    """
    scorer = RougeScorer(["rougeL"], tokenizer=_AnyScript())
    pairs = list(zip(references, generated, strict=True))
    scored = {pair: float(scorer.score(*pair)["rougeL"].fmeasure) for pair in dict.fromkeys(pairs)}  # many outputs repeat
    return np.array([scored[pair] for pair in pairs], dtype=np.float64)


def exact(generated: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """1.0 where the texts are the same but for white space at the ends: float64 ``(B,)``."""
    same = [text.strip() == reference.strip() for text, reference in zip(generated, references, strict=True)]
    return np.array(same, dtype=np.float64)


def nearest_by_code(codes_NL: NDArray[np.int32], eligible_N: NDArray[np.bool_]) -> NDArray[np.int32]:
    """For each item the eligible other item that shares the longest prefix of codes; among equals the lowest index.

    int32 ``(N,)``; -1 where no other item is eligible. An item is never its own neighbour: a table of known texts would
    answer every warm item by heart, and that is not what the baseline is to show.

    >>> codes = np.array([[1, 1], [1, 2], [3, 1], [1, 2]], dtype=np.int32)
    >>> nearest_by_code(codes, np.array([True, True, True, False])).tolist()
    [1, 0, 0, 1]
    """
    n, levels = codes_NL.shape
    nearest = np.full(n, -1, dtype=np.int32)
    eligible = np.flatnonzero(eligible_N)
    for depth in range(levels, -1, -1):
        if depth:
            _, group_N = np.unique(codes_NL[:, :depth], axis=0, return_inverse=True)
            group_N = group_N.ravel()
        else:
            group_N = np.zeros(n, dtype=np.int64)
        lowest = np.full((2, n), -1, dtype=np.int32)  # of each group the two lowest eligible items
        groups, first = np.unique(group_N[eligible], return_index=True)
        lowest[0, groups] = eligible[first]
        others = np.delete(eligible, first)
        groups, first = np.unique(group_N[others], return_index=True)
        lowest[1, groups] = others[first]
        candidates = np.where(lowest[0, group_N] == np.arange(n), lowest[1, group_N], lowest[0, group_N])
        nearest = np.where(nearest < 0, candidates, nearest).astype(np.int32)
    return nearest
