"""Metric work goes through joblib, so that a backend of the user takes it over."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
from joblib.parallel import ThreadingBackend
from scripts import shop_task

from tagal_dspy.metrics import Learning, TableMetric

N_REPLICATES = 2


class Elsewhere(ThreadingBackend):  # type: ignore[misc]
    """Stands for a cluster: threads, and a count of what was sent there."""

    n_sent = 0

    def submit(self, func: Any, callback: Any = None) -> Any:
        Elsewhere.n_sent += 1
        return super().submit(func, callback)


def score() -> float:
    task = shop_task()
    metric = TableMetric(learning=Learning(classifiers=("LR", "RF"), seeds=(0, 1)), n_replicates=N_REPLICATES)
    return metric.evaluate(task, task.train.head(20)).score


def test_backend_that_a_user_registers_does_the_metric_work_and_the_score_is_the_same() -> None:
    joblib.register_parallel_backend("elsewhere", Elsewhere)
    alone = score()
    assert Elsewhere.n_sent == 0
    with joblib.parallel_config(backend="elsewhere", n_jobs=2):
        assert np.isclose(score(), alone, rtol=0, atol=1e-12)
    # The fits of the table itself, and the tables of floor and ceiling for each of utility and fidelity.
    assert Elsewhere.n_sent >= 3 + 2 * 2 * N_REPLICATES
