"""Small studies of simulated runs."""

from __future__ import annotations

from typing import Any

import optuna

from tagal_dspy.study import Objective, SimulatedRuns, Space, run_study

BOUNDS = {"n_shots": [2, 40], "temperature": [0.3, 1.3], "codec": ["csv", "json", "sentence"]}


def simulated(n_seeds: int = 3, evaluate: Any = None, **options: Any) -> Objective:
    """An objective without a model."""
    runs = evaluate or SimulatedRuns(20)
    return Objective(Space(BOUNDS), runs, [(None, seed) for seed in range(n_seeds)], **options)


def study_of(objective: Objective, n_trials: int, storage: Any = None) -> Any:
    """A study that is finished."""
    return run_study("test", objective, storage or optuna.storages.InMemoryStorage(), n_trials)
