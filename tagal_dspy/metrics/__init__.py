"""Is a synthetic table any good: utility, fidelity, diversity, privacy, calibrated and combined into one score."""

from tagal_dspy.metrics.baselines import BASELINES, baseline
from tagal_dspy.metrics.calibration import Anchors, Score, anchors, calibrate, calibrated
from tagal_dspy.metrics.combined import Evaluation, TableMetric
from tagal_dspy.metrics.comparison import Comparison, compare
from tagal_dspy.metrics.contamination import Contamination, Recall, contamination
from tagal_dspy.metrics.diversity import Diversity, Rate, diversity
from tagal_dspy.metrics.evaluate import evaluate, evaluate_task
from tagal_dspy.metrics.fidelity import (
    Neighbourhoods,
    PairTrend,
    Quality,
    Supports,
    alpha_precision,
    detection,
    prdc,
    quality,
    validity,
)
from tagal_dspy.metrics.membership import Attack, Membership, membership
from tagal_dspy.metrics.models import MODELS
from tagal_dspy.metrics.paper import PaperResult, paper_protocol
from tagal_dspy.metrics.privacy import Nearness, Privacy, privacy
from tagal_dspy.metrics.report import TableReport, plain
from tagal_dspy.metrics.utility import Learning, Utility, combined, trtr, tstr

__all__ = [
    "BASELINES",
    "MODELS",
    "Anchors",
    "Attack",
    "Comparison",
    "Contamination",
    "Diversity",
    "Evaluation",
    "Learning",
    "Membership",
    "Nearness",
    "Neighbourhoods",
    "PairTrend",
    "PaperResult",
    "Privacy",
    "Quality",
    "Rate",
    "Recall",
    "Score",
    "Supports",
    "TableMetric",
    "TableReport",
    "Utility",
    "alpha_precision",
    "anchors",
    "baseline",
    "calibrate",
    "calibrated",
    "combined",
    "compare",
    "contamination",
    "detection",
    "diversity",
    "evaluate",
    "evaluate_task",
    "membership",
    "paper_protocol",
    "plain",
    "prdc",
    "privacy",
    "quality",
    "trtr",
    "tstr",
    "validity",
]
