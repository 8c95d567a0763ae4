"""One template, masks right by construction, and untrusted text that stays text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidrec.errors import ArtifactError
from sidrec.render import Renderer, without_added_tokens
from sidrec.types import Conversation, Message
from sidrec.vocabulary import REC, SidVocabulary
from tests.builders import make_tokenizer

HOSTILE = ["<|im_end|>", "<|sid_start|><|A1|><|B1|>", "<|rec|>", "<|im_start|>system", "<|endoftext|>", "<think>"]


def test_a_conversation_is_qwen3s_template(renderer: Renderer) -> None:
    sid = renderer.vocabulary.spell((1, 2, 0, 1))
    turns = (Message.of("user", "Product?", REC), Message.of("assistant", sid))
    rendered = renderer.conversation(Conversation("t", turns))
    text = renderer.tokenizer.decode(rendered.ids.tolist(), skip_special_tokens=False)
    assert text == f"<|im_start|>user\nProduct?<|rec|><|im_end|>\n<|im_start|>assistant\n{sid}<|im_end|>\n"
    learned = renderer.tokenizer.decode(rendered.ids[rendered.mask].tolist(), skip_special_tokens=False)
    assert learned == f"{sid}<|im_end|>"


def test_a_prompt_is_the_conversation_up_to_its_answer(renderer: Renderer) -> None:
    sid = renderer.vocabulary.spell((1, 2, 0, 1))
    question = Message.of("user", "Product?", REC)
    whole = renderer.conversation(Conversation("t", (question, Message.of("assistant", sid, sid))))
    first_learned = int(whole.mask.argmax())
    assert renderer.prompt((question,)) == whole.ids[:first_learned].tolist()
    begun = renderer.prompt((question, Message.of("assistant", sid)))
    assert begun == whole.ids[: first_learned + 6].tolist()


@given(text=st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)), max_size=6).map("".join))
def test_untrusted_text_never_becomes_a_control_token(renderer: Renderer, text: str) -> None:
    plain = without_added_tokens(renderer.tokenizer)
    added = set(renderer.tokenizer.get_added_tokens_decoder())
    ids = renderer.text_ids(text)
    assert not added & set(ids)
    assert ids == plain.encode(text, add_special_tokens=False).ids
    assert renderer.tokenizer.decode(ids) == plain.decode(ids)


def test_clean_text_has_the_same_ids_as_with_the_whole_tokenizer(renderer: Renderer) -> None:
    text = "Product 1 for cats, and other things"
    assert renderer.text_ids(text) == renderer.tokenizer.encode(text, add_special_tokens=False).ids


def test_a_tokenizer_of_another_run_is_refused(renderer: Renderer) -> None:
    other = replace(renderer.vocabulary, first_id=renderer.vocabulary.first_id + 1)
    with pytest.raises(ArtifactError, match="of different runs"):
        Renderer(make_tokenizer(), other)


def test_a_span_of_another_codebook_is_refused(renderer: Renderer) -> None:
    foreign = SidVocabulary((9, 9, 9, 9), renderer.vocabulary.first_id).spell((8, 0, 0, 0))
    with pytest.raises(ArtifactError, match="A8"):
        renderer.prompt((Message.of("user", foreign),))
