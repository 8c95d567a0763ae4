"""From a corpus and its semantic IDs to conversations: every task kind, its wordings, the mixture."""

from sidrec.converse.mixture import TaskCount, task_counts, train_conversations, train_examples, valid_conversations
from sidrec.converse.preview import samples_markdown
from sidrec.converse.prompts import bought_with_prompt, history_prompt, text_prompt
from sidrec.converse.registry import TASK_SPECS
from sidrec.converse.samples import test_samples
from sidrec.converse.spec import TaskSpec

__all__ = [
    "TASK_SPECS",
    "TaskCount",
    "TaskSpec",
    "bought_with_prompt",
    "history_prompt",
    "samples_markdown",
    "task_counts",
    "test_samples",
    "text_prompt",
    "train_conversations",
    "train_examples",
    "valid_conversations",
]
