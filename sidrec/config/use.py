"""What is done with a trained model: recommend, and measure."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sidrec.config.base import Count, Positive, Table


class RecommendConfig(Table):
    """Decode items."""

    k: Positive = Field(10, description="Items a request.")
    beams: Positive = Field(20, description="Beams; raised to k where k is larger.")
    exclude_seen: bool = Field(False, description="Never recommend what the history holds.")
    batch_size: Positive = Field(64, description="Requests decoded at once.")
    users_per_part: Positive = Field(
        4096, description="All users: users of one part, the unit that is kept when the work is killed and that a worker takes."
    )
    device: str = Field("auto", description="'auto', 'cpu', 'cuda'...")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Precision of the arithmetic; 'auto': bfloat16 on a GPU, as the model was saved on a CPU."
    )


class EvaluateConfig(Table):
    """Measure, beside baselines."""

    cutoffs: tuple[Positive, ...] = Field((5, 10), min_length=1, description="Cut-offs of Recall and NDCG.")
    max_users: Count = Field(0, description="Next item: so many users at most, drawn by the seed; 0: all.")
    beams: Positive = Field(20, description="Beams when decoding for evaluation.")
    text_tokens: Positive = Field(48, description="Longest generated text in the tasks that ask for text.")
