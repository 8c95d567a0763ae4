"""Metrics, baselines and the report: answers of a model in as plain arrays, figures and pages out."""

from sidrec.evaluate.baselines import Baseline, CoOccurrence, NearestVectors, Popularity, commonest_codes
from sidrec.evaluate.customers import Customer, pick_customers
from sidrec.evaluate.metrics import hit_at, ladder, mrr, ndcg_at, ranks, recall_at
from sidrec.evaluate.outcomes import MODEL, NextItemOutcome, RunFacts, SidOutcome, TextOutcome
from sidrec.evaluate.report import ReportInputs, report_files
from sidrec.evaluate.score import as_json, next_item_metrics, per_user, sid_metrics, text_metrics
from sidrec.evaluate.suite import COPURCHASE, HISTORY_TO_SID, SID_TO_TEXT, TASK_K, TEXT_TO_SID, Baselines
from sidrec.evaluate.terminal import terminal_tables

__all__ = [
    "COPURCHASE",
    "HISTORY_TO_SID",
    "MODEL",
    "SID_TO_TEXT",
    "TASK_K",
    "TEXT_TO_SID",
    "Baseline",
    "Baselines",
    "CoOccurrence",
    "Customer",
    "NearestVectors",
    "NextItemOutcome",
    "Popularity",
    "ReportInputs",
    "RunFacts",
    "SidOutcome",
    "TextOutcome",
    "as_json",
    "commonest_codes",
    "hit_at",
    "ladder",
    "mrr",
    "ndcg_at",
    "next_item_metrics",
    "per_user",
    "pick_customers",
    "ranks",
    "recall_at",
    "report_files",
    "sid_metrics",
    "terminal_tables",
    "text_metrics",
]
