"""What sets the items of a prefix apart, in words from their titles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

WORDS = 3
_COMMON = 0.1  # share of a group's titles that a word must stand in
# Titles are untrusted: a word is letters, digits and what may stand inside one, so no markup, no control, no direction mark.
_WORD = r"[\p{L}\p{M}\p{N}]+(?:['’-][\p{L}\p{M}\p{N}]+)*"
_LONGEST = 24


class Titles:
    """The titles' words, counted once: a sparse table of items by words."""

    def __init__(self, titles: Sequence[str]) -> None:
        found = (
            pl.DataFrame({"item": np.arange(len(titles)), "word": pl.Series(titles, dtype=pl.String)})
            .with_columns(pl.col("word").str.to_lowercase().str.extract_all(_WORD))
            .explode("word")
            .filter(
                pl.col("word").str.contains(r"\p{L}")
                & pl.col("word").str.len_chars().is_between(2, _LONGEST)
                & ~pl.col("word").is_in(sorted(ENGLISH_STOP_WORDS))
            )
            .unique()
        )
        self.words: list[str] = found["word"].unique().sort().to_list()
        columns = found["word"].replace_strict(self.words, np.arange(len(self.words)), return_dtype=pl.Int64).to_numpy()
        shape = (len(titles), len(self.words))
        ones = np.ones(found.height, dtype=np.float32)
        self._table = sparse.csr_matrix((ones, (found["item"].to_numpy(), columns)), shape=shape)

    def telling(
        self, group_N: NDArray[np.int64], parent_G: NDArray[np.int64], parents_N: NDArray[np.int64]
    ) -> list[tuple[str, ...]]:
        """For each group of items the words, three at most, that are common in it and less so in the group it is part of.

        ``group_N`` is each item's group (-1: none is asked for), ``parent_G`` each group's parent, ``parents_N`` each item's.
        A word scores ``p log(p / q)``, its share ``p`` of the group's titles and ``q`` of the parent's: its part of the
        divergence of one from the other. Where nothing sets a group apart its commonest words are taken.
        """
        counts, sizes = self._counts(group_N, len(parent_G))
        wider, wider_sizes = self._counts(parents_N, int(parents_N.max(initial=-1)) + 1)
        found = []
        for group, parent in enumerate(parent_G.tolist()):
            row = slice(counts.indptr[group], counts.indptr[group + 1])
            words, share = counts.indices[row], counts.data[row] / max(sizes[group], 1)
            around = _lookup(wider, parent, words) / max(wider_sizes[parent], 1)
            score = share * np.log(share / around)
            score[(share < _COMMON) | ((counts.data[row] < 2) & (sizes[group] > 1))] = -1.0
            order = np.lexsort((words, -share, -score))[:WORDS]  # of equals the commoner, then by the alphabet
            order = order[score[order] > 0] if (score > 0).any() else np.lexsort((words, -share))[:WORDS]
            found.append(tuple(self.words[int(word)] for word in words[order]))
        return found

    def _counts(self, group_N: NDArray[np.int64], groups: int) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
        inside = np.flatnonzero(group_N >= 0)
        members = sparse.csr_matrix(
            (np.ones(len(inside), dtype=np.float32), (group_N[inside], inside)), shape=(groups, len(group_N))
        )
        counts = sparse.csr_matrix(members @ self._table)
        counts.sort_indices()
        return counts, np.bincount(group_N[inside], minlength=groups)


def _lookup(table: sparse.csr_matrix, row: int, columns: NDArray[np.int32]) -> NDArray[np.float32]:
    """Values of ``columns``, all of which are there, in a row of a table with sorted columns."""
    span = slice(table.indptr[row], table.indptr[row + 1])
    values: NDArray[np.float32] = table.data[span][np.searchsorted(table.indices[span], columns)]
    return values
