"""Spelling and reading semantic IDs are inverse to each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sidrec.vocabulary import SidVocabulary

sizes = st.lists(st.integers(1, 300), min_size=1, max_size=5).map(tuple)


@given(sizes=sizes, first_id=st.integers(0, 200_000), data=st.data())
def test_codes_ids_and_text_agree(sizes: tuple[int, ...], first_id: int, data: st.DataObject) -> None:
    vocabulary = SidVocabulary(sizes, first_id)
    codes = tuple(data.draw(st.integers(0, size - 1)) for size in sizes)
    ids = vocabulary.ids(np.asarray([codes], dtype=np.int32))[0].tolist()
    assert vocabulary.codes_of_ids(ids) == codes
    assert vocabulary.ids_of_text(vocabulary.spell(codes)) == ids
    assert vocabulary.last_id == first_id + 2 + sum(sizes) == vocabulary.token_id(vocabulary.tokens[-1])


@given(ids=st.lists(st.integers(0, 30), max_size=12))
def test_whatever_is_read_is_a_code_of_the_book(ids: list[int]) -> None:
    codes = SidVocabulary((4, 5), first_id=10).codes_of_ids(ids)
    assert codes is None or (0 <= codes[0] < 4 and 0 <= codes[1] < 5)
