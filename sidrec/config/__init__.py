"""The configuration of a run: one TOML file, one frozen pydantic model a stage, one file a table.

The same word names the room, the command and the table. ``configfile.py`` reads the file. A new knob goes into its stage's
model, with a description, and never into a flag: ``--set section.key=value`` reaches all of them.
"""

from sidrec.config.base import Count, Engine, Positive, Share, UnknownItems, nearest
from sidrec.config.converse import EVALUATED_TASKS, TASKS, TRAINED_ONLY_TASKS, ConverseConfig
from sidrec.config.embed import EmbedConfig, GivenVectors
from sidrec.config.ingest import AmazonSource, ColumnMap, DemoSource, IngestConfig, TablesSource
from sidrec.config.quantize import GateConfig, QuantizeConfig, RqVaeConfig
from sidrec.config.run import RunConfig
from sidrec.config.train import StageConfig, TinyModel, TrainConfig
from sidrec.config.use import EvaluateConfig, RecommendConfig

__all__ = [
    "EVALUATED_TASKS",
    "TASKS",
    "TRAINED_ONLY_TASKS",
    "AmazonSource",
    "ColumnMap",
    "ConverseConfig",
    "Count",
    "DemoSource",
    "EmbedConfig",
    "Engine",
    "EvaluateConfig",
    "GateConfig",
    "GivenVectors",
    "IngestConfig",
    "Positive",
    "QuantizeConfig",
    "RecommendConfig",
    "RqVaeConfig",
    "RunConfig",
    "Share",
    "StageConfig",
    "TablesSource",
    "TinyModel",
    "TrainConfig",
    "UnknownItems",
    "nearest",
]
