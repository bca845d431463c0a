"""`provable_gain`: how large a gain must be for the held-out tasks to confirm it."""

from __future__ import annotations

import math

import dspy
import numpy as np

from tagal_dspy.metrics.baselines import baseline
from tagal_dspy.optimizers.compiling import ALPHA
from tagal_dspy.optimizers.job import Metric, value_of
from tagal_dspy.optimizers.tasks import Tasks

N_TABLES = 8
"""Tables of real rows that the noise of a score is estimated from."""

POWER = 0.8
"""How often a gain is confirmed that is as large as `provable_gain` says."""


def provable_gain(tasks: Tasks, metric: Metric) -> float:
    """The gain in score that the paired test on the held-out tasks confirms (p < 0.05) four times out of five.

    The noise of a score is that of tables of real rows, as long as the tasks ask for; tables that a model writes may
    vary more. No language model is called.
    """
    from scipy.stats import t

    example = tasks.held_out[0]
    tables = [baseline("real", task=example.task, n_rows=example.n_rows, seed=seed) for seed in range(N_TABLES)]
    scores = [value_of(metric(example, dspy.Prediction(table=table))) for table in tables]
    n_pairs = len(tasks.held_out)
    reach = t.ppf(1 - ALPHA / 2, n_pairs - 1) + t.ppf(POWER, n_pairs - 1)
    return float(reach * math.sqrt(2) * np.std(scores, ddof=1) / math.sqrt(n_pairs))
