"""What stands in the texts: shoppers' requests, pieces of titles, caps, facts, neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.config import ConverseConfig
from sidrec.converse import train_conversations
from sidrec.converse.phrases import attribute_words, shopper_request
from sidrec.converse.registry import TASK_SPECS
from sidrec.converse.shop import ANSWER_WORDS, PROMPT_WORDS, Shop
from sidrec.types import Conversation, Corpus, ItemCodes
from tests.converse.shops import COLD, N_ITEMS, rich_codes, rich_shop, with_items

draws = st.integers(0, 2**62 - 1)


def written(task: str, corpus: Corpus | None = None, weight: float = 5.0) -> list[Conversation]:
    config = ConverseConfig(default_weight=0.0, weights={task: weight})
    return list(train_conversations(corpus or rich_shop(), rich_codes(), config, 0))


def test_attribute_words_are_shared_but_not_by_all() -> None:
    texts = [
        f"acme{i} {'senior' if i < 3 else 'kitten'} food with {'rice' if i == 0 else 'grain-free'} Zorro" for i in range(20)
    ]
    found = attribute_words(texts, ["Zorro"] * 20)
    assert found[0] == ("senior",)  # acme0 and rice are of one item; food, grain-free, zorro and kitten are too common
    assert found[5] == ()
    assert attribute_words(["", "soft bed", "soft toy", ""], [""] * 4) == [(), ("soft",), ("soft",), ()]


@given(
    st.lists(st.sampled_from(["soft", "large", "dry", "senior", "washable", "toy"]), unique=True, min_size=2),
    st.sampled_from(["", "Dry Food"]),
    st.sampled_from([[], ["Cats"], ["Cats", "Food"]]),
    st.sampled_from(["", "Acme"]),
    st.sampled_from([None, 0.0, 12.5, 1000.0, 5000.0]),
    draws,
)
def test_requests_are_short_and_hold_words_of_the_item(
    words: list[str], narrow: str, broad: list[str], brand: str, price: float | None, draw: int
) -> None:
    request = shopper_request(words, narrow, broad, brand, price, draw)
    assert request == request.strip()
    assert 1 <= len(request.split()) <= 9
    assert narrow.lower() in request
    chosen = [w for w in words if w in request.replace(",", "").replace(narrow.lower(), "").split()]
    assert len(chosen) <= 4
    assert chosen or narrow


def test_requests_have_many_forms() -> None:
    words = ("senior", "grain-free", "soft")
    found = {shopper_request(words, "Dry Food", ["Cats"], "Acme", 12.5, draw) for draw in range(1000)}
    assert {
        "senior grain-free dry food for cats",
        "dry food, grain-free, soft",
        "senior soft dry food by Acme",
        "senior grain-free soft dry food under 15",
    } <= found


def test_a_level_that_all_items_share_is_not_asked_for() -> None:
    shop = Shop(rich_shop(), rich_codes())
    assert shop.broad_levels[:2] == [["Dogs"], ["Cats"]]
    varied = with_items(rich_shop(), category=[[f"Root{i % 4}", "Leaf"] for i in range(N_ITEMS)])
    assert Shop(varied, rich_codes()).broad_levels[0] == ["Root0"]


@given(st.integers(5, 12), draws)
def test_pieces_of_a_title(length: int, draw: int) -> None:
    words = [f"w{i}" for i in range(length)]
    shop = Shop(with_items(rich_shop(), title=[" ".join(words)] * N_ITEMS), rich_codes())
    start = TASK_SPECS["title_start_to_sid"].build(shop, [0], draw).about.split()
    middle = TASK_SPECS["title_middle_to_sid"].build(shop, [0], draw).about.split()
    assert start == words[: len(start)]
    at = words.index(middle[0])
    assert at >= 1
    assert middle == words[at : at + len(middle)]
    assert middle[-1] != words[-1]
    assert 2 <= len(start) <= 5
    assert 2 <= len(middle) <= 5


@given(st.integers(8, 40), draws)
def test_snippets_of_a_description(length: int, draw: int) -> None:
    words = [f"w{i}" for i in range(length)]
    shop = Shop(with_items(rich_shop(), description=[" ".join(words)] * N_ITEMS), rich_codes())
    snippet = TASK_SPECS["description_snippet_to_sid"].build(shop, [0], draw).about.split()
    at = words.index(snippet[0])
    assert snippet == words[at : at + len(snippet)]
    assert 8 <= len(snippet) <= 16


@pytest.mark.parametrize(
    ("task", "least"), [("title_start_to_sid", 3), ("title_middle_to_sid", 5), ("description_snippet_to_sid", 8)]
)
def test_short_texts_make_no_pieces(task: str, least: int) -> None:
    short = [" ".join(["word"] * (least - i % 2)) for i in range(N_ITEMS)]
    corpus = with_items(rich_shop(), title=short, description=short)
    assert {x.item_index % 2 for x in written(task, corpus)} == {0}


def test_long_texts_are_cut_between_words() -> None:
    long = " ".join(f"word{i}" for i in range(150))
    corpus = with_items(rich_shop(), title=[long] * N_ITEMS, description=[long] * N_ITEMS, features=[[long]] * N_ITEMS)
    for task in ("description_to_sid", "features_to_sid"):
        assert all(f"word{PROMPT_WORDS - 1}" in x.messages[0].content for x in written(task, corpus))
        assert not any(f"word{PROMPT_WORDS}" in x.messages[0].content for x in written(task, corpus))
    for task in ("sid_to_description", "sid_to_features"):
        assert all(x.messages[1].content.split() == long.split()[:ANSWER_WORDS] for x in written(task, corpus))
    assert all(x.messages[1].content == long for x in written("sid_to_title", corpus))


def test_context_says_what_is_known() -> None:
    item_4 = next(x for x in written("sid_to_context") if x.item_index == 4)
    assert item_4.messages[1].content == (
        "Pet Supplies > Dogs > Food; Brand: Maker1; Price: low; A senior thing for pets, dzq4z made with care."
    )


def test_similar_items_share_two_codes_and_are_warm() -> None:
    codes, sids = rich_codes().codes, Shop(rich_shop(), rich_codes()).sids
    for conversation in written("similar_items", weight=20.0):
        given_item = next(i for i, sid in enumerate(sids) if sid in conversation.messages[0].content)
        assert given_item != conversation.item_index
        assert (codes[given_item, :2] == codes[conversation.item_index, :2]).all()
        assert not {given_item, conversation.item_index} & set(COLD)


def test_a_prefix_has_the_commonest_category_of_its_items() -> None:
    answers = {x.messages[0].content: x.messages[1].content for x in written("prefix_to_category")}
    # items 0-7 share the first code; foods (0, 4) and the others have two each, so the first by name wins
    assert answers["Category under <|sid_start|><|A0|>"] == "Pet Supplies > Cats > Brush"


def test_examples_of_a_prefix_are_titles_of_its_items() -> None:
    titles = Shop(rich_shop(), rich_codes()).titles
    for conversation in written("prefix_to_examples"):
        if "<|A1|><|B0|>" in conversation.messages[0].content:
            assert set(conversation.messages[1].content.split("; ")) <= set(titles[8:12])
            assert conversation.messages[1].content.count("; ") == 2


def test_one_learned_level_is_enough() -> None:
    codes = ItemCodes(np.asarray([[i // 8, i % 8] for i in range(N_ITEMS)], dtype=np.int32), (5, 8))
    made = list(train_conversations(rich_shop(), codes, ConverseConfig(), 0))
    assert {x.task for x in made} == set(TASK_SPECS)
