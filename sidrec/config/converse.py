"""Items and histories to conversations: the tasks by name, and how much of each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from sidrec.config.base import Count, Positive, Table, nearest

EVALUATED_TASKS = (
    "title_to_sid",
    "description_to_sid",
    "features_to_sid",
    "seq_last_2",
    "seq_last_3",
    "seq_last_5",
    "copurchase_forward",
    "copurchase_backward",
    "sid_to_title",
    "sid_to_description",
    "sid_to_features",
)
"""The 11 tasks of the reference, by its names."""

TRAINED_ONLY_TASKS = (
    "purchase_history",
    "sid_to_category",
    "sid_to_context",
    "title_start_to_sid",
    "title_middle_to_sid",
    "description_snippet_to_sid",
    "category_to_sid",
    "attributes_to_sid",
    "similar_items",
    "prefix_to_category",
    "prefix_to_examples",
    "category_transition",
    "bought_together",
)
"""Trained as well. ``purchase_history`` holds a whole history in one answer: every split point at once."""

TASKS = EVALUATED_TASKS + TRAINED_ONLY_TASKS


class ConverseConfig(Table):
    """Items and histories to conversations."""

    weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=dict,
        description="How often each example of a task is written: 0 never, 0.1 a tenth of them, 3 three times in different "
        "wordings. Tasks that are not named have the weight below.",
    )
    default_weight: float = Field(1.0, ge=0.0, description="Weight of every task not named in weights.")
    max_per_task: Count = Field(0, description="Cap on the conversations of one task, drawn by the seed; 0: none.")
    caps: dict[str, Count] = Field(default_factory=dict, description="The same for single tasks.")
    window: Positive = Field(4, description="Co-purchase: two purchases at most so many places apart.")
    max_history_items: Positive = Field(20, description="Items of a history that are shown to the model, the latest ones.")
    valid_per_task: Count = Field(300, description="Validation conversations of each task.")
    test_per_task: Count = Field(3000, description="Evaluation samples of each task; 0: all.")

    @model_validator(mode="after")
    def _known_tasks(self) -> ConverseConfig:
        for table in (self.weights, self.caps):
            for name in table:
                if name not in TASKS:
                    raise ValueError(f"unknown task {name!r}{nearest(name, TASKS)}")
        return self
