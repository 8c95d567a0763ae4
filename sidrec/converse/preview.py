"""``samples.md``: a few conversations of each task, for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sidrec.converse.registry import TASK_SPECS
from sidrec.types import Conversation, Message

_EACH = 3
_HEAD = """# Training conversations

What stands in ⟦ ⟧ is trained on (and the end of the turn); everything else is given. Semantic IDs are tokens of their own;
`\\<|` in a text only looks like such a token and is none.

| task | conversations | answer | needs |
|---|---:|---|---|
"""


def samples_markdown(conversations: Iterable[Conversation], counts: Mapping[str, int]) -> str:
    """A table of ``counts`` (conversations of each task; absent: 0) and three of each kind.

    Reading stops as soon as there are three of every task. Texts come from the shop and are shown as indented code, in
    which Markdown and HTML mean nothing.
    """
    wanted = {task: min(_EACH, counts.get(task, 0)) for task in TASK_SPECS}
    shown: dict[str, list[Conversation]] = {task: [] for task in TASK_SPECS}
    left = sum(wanted.values())
    for conversation in conversations if left else ():
        if len(shown[conversation.task]) < wanted[conversation.task]:
            shown[conversation.task].append(conversation)
            left -= 1
            if not left:
                break
    lines = [_HEAD]
    for task, spec in TASK_SPECS.items():
        count = counts.get(task, 0)
        lines.append(f"| {task} | {count:,} | {'item' if spec.asks_for_item else 'text'} | {spec.needs} |\n")
    for task, spec in TASK_SPECS.items():
        lines.append(f"\n## {task}\n")
        if not shown[task]:
            lines.append(f"\nNone was written: the weight is 0, or the data lacks what it needs ({spec.needs}).\n")
        for conversation in shown[task]:
            lines.append("\n")
            lines += [f"    {_line(message)}\n" for message in conversation.messages]
    return "".join(lines)


def _line(message: Message) -> str:
    pieces: list[str] = []
    at = 0
    for start, end in (*message.spans, (len(message.content), len(message.content))):
        pieces += [message.content[at:start].replace("<|", "\\<|"), message.content[start:end]]
        at = end
    text = " ⏎ ".join("".join(pieces).splitlines())
    return f"{message.role}: ⟦{text}⟧" if message.role == "assistant" else f"{message.role}: {text}"
