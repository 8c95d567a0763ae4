"""Vocabulary surgery, packing, the loss, one loop for both stages, and checkpoints that continue exactly."""

from sidrec.train.base import build_base, load_trained
from sidrec.train.loop import TrainResult, parameter_counts, train
from sidrec.train.pack import PackedBatch, TokenizedConversations, plan_epoch, tokenize
from sidrec.train.stages import train_full, train_vocabulary
from sidrec.train.surgery import extend_vocabulary, new_parameters

__all__ = [
    "PackedBatch",
    "TokenizedConversations",
    "TrainResult",
    "build_base",
    "extend_vocabulary",
    "load_base",
    "load_trained",
    "new_parameters",
    "parameter_counts",
    "plan_epoch",
    "tokenize",
    "train",
    "train_full",
    "train_vocabulary",
]
