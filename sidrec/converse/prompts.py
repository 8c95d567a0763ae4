"""The requests that a trained model answers. Each is a form that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from sidrec.converse.registry import TASK_SPECS
from sidrec.converse.shop import PROMPT_WORDS, first_words
from sidrec.converse.tasks_behaviour import BOUGHT_WITH, HISTORY
from sidrec.converse.tasks_to_sid import SEARCH
from sidrec.types import ItemCodes, Message
from sidrec.vocabulary import SidVocabulary


def history_prompt(codes: ItemCodes, items: Sequence[int]) -> tuple[Message, ...]:
    """A purchase history of item indices, oldest first; the model goes on with the next semantic ID.

    The form of the task ``purchase_history``: the history is the beginning of the assistant's own turn, so that one
    trained conversation holds every split point. Give at most ``max_history_items``, as in training.
    """
    vocabulary = SidVocabulary(codes.sizes, first_id=0)
    history = vocabulary.concat(vocabulary.spell(row) for row in codes.codes[list(items)].tolist())
    return TASK_SPECS["purchase_history"].question(HISTORY, ""), Message.of("assistant", history)


def text_prompt(text: str) -> tuple[Message, ...]:
    """A shopper's sentence, or a title; its first 60 words. The text is untrusted and may hold anything.

    >>> text_prompt("grain-free food for a senior cat")[0].content
    'Search: grain-free food for a senior cat<|rec|>'
    """
    return (TASK_SPECS["attributes_to_sid"].question(SEARCH, first_words(text, PROMPT_WORDS)),)


def bought_with_prompt(codes: ItemCodes, item: int) -> tuple[Message, ...]:
    """What is bought soon after an item (an index)."""
    sid = SidVocabulary(codes.sizes, first_id=0).spell(codes.codes[item])
    return (TASK_SPECS["copurchase_forward"].question(BOUGHT_WITH, sid),)
