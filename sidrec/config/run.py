"""Everything that decides the result of a run."""

from __future__ import annotations

from pydantic import Field

from sidrec.config.base import Count, Table
from sidrec.config.converse import ConverseConfig
from sidrec.config.embed import EmbedConfig
from sidrec.config.ingest import IngestConfig
from sidrec.config.quantize import QuantizeConfig
from sidrec.config.train import TrainConfig
from sidrec.config.use import EvaluateConfig, RecommendConfig


class RunConfig(Table):
    """Everything that decides the result of a run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]+$", description="Name of the run; also its folder under runs/.")
    seed: Count = Field(0, description="The one seed. The same seed on CPU gives the same bytes.")
    ingest: IngestConfig = Field(default_factory=IngestConfig, description="Read, clean, filter, split.")
    embed: EmbedConfig = Field(default_factory=EmbedConfig, description="Item text to unit vectors.")
    quantize: QuantizeConfig = Field(default_factory=QuantizeConfig, description="Vectors to semantic IDs.")
    converse: ConverseConfig = Field(default_factory=ConverseConfig, description="Conversations to learn from.")
    train: TrainConfig = Field(default_factory=TrainConfig, description="Vocabulary surgery and training.")
    recommend: RecommendConfig = Field(default_factory=RecommendConfig, description="Decode items.")
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig, description="Measure, beside baselines.")
