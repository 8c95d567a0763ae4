"""``samples.md``."""

from __future__ import annotations

from collections.abc import Iterator

from sidrec.config import TASKS, ConverseConfig
from sidrec.converse import samples_markdown, train_conversations
from sidrec.types import Conversation, Message, SidText
from tests.converse.shops import rich_codes, rich_shop


def test_three_of_each_with_the_trained_part_marked() -> None:
    config = ConverseConfig(weights={"sid_to_title": 0.0}, caps={"seq_last_2": 2})
    made = list(train_conversations(rich_shop(), rich_codes(), config, 0))
    counts = {task: sum(x.task == task for x in made) for task in TASKS}
    text = samples_markdown(made, counts)
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    assert tuple(sections) == TASKS
    shown = {task: section.count("    user: ") for task, section in sections.items()}
    assert shown == {task: min(3, counts[task]) for task in TASKS}
    assert "None was written" in sections["sid_to_title"]
    assert "| seq_last_3 | 30 | item | histories of two purchases and more |" in text
    assert text.count("assistant: ⟦") == sum(shown.values())
    assert not [line for line in text.splitlines() if line.startswith("    user") and "⟦" in line]


def test_text_from_the_shop_cannot_pose_as_markup_or_token() -> None:
    hostile = Message.of("user", "<|A1|>\n# Heading\r\n<script>", SidText("<|A2|>"))
    text = samples_markdown(
        [Conversation("title_to_sid", (hostile, Message.of("assistant", SidText("<|A2|>"))))], {"title_to_sid": 1}
    )
    assert "    user: \\<|A1|> ⏎ # Heading ⏎ <script><|A2|>\n    assistant: ⟦<|A2|>⟧\n" in text


def test_reading_stops_when_there_is_enough() -> None:
    def endless() -> Iterator[Conversation]:
        yield from [Conversation("title_to_sid", (Message.of("user", "Find a"), Message.of("assistant", "b")))] * 3
        raise AssertionError("read on")

    assert samples_markdown(endless(), {"title_to_sid": 1000}).count("Find a") == 3
    assert samples_markdown(endless(), {}).count("None was written") == len(TASKS)
