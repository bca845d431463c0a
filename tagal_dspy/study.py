"""Meta-parameter studies: `RunSettings` drawn by an Optuna trial, scored over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dspy
import numpy as np

from tagal_dspy.errors import NotEnoughRowsError, SettingsError
from tagal_dspy.modules import METHODS
from tagal_dspy.settings import PromptStyle, RunSettings, run_settings
from tagal_dspy.task import TableTask

Bounds = Mapping[str, Any]
"""By field of `RunSettings`: `[low, high]` for numbers, a longer list or a list of names to choose from."""

DEFAULT_BOUNDS: Bounds = {
    "n_iter": [1, 5],
    "n_shots": [2, 40],
    "temperature": [0.3, 1.3],
    "codec": ["csv", "json", "sentence"],
}


def search_space(
    trial: Any, bounds: Bounds = DEFAULT_BOUNDS, preset: str = "grounded", style: PromptStyle = "chat"
) -> RunSettings:
    """Settings with the bounded fields suggested by an `optuna.Trial`, the others from the preset.

    Raises:
        SettingsError: a field does not exist, or its bounds are empty or inverted.

    >>> import optuna
    >>> search_space(optuna.trial.FixedTrial({"n_shots": 7}), {"n_shots": [2, 40]}).n_shots
    7
    """
    return run_settings(preset, style, **{name: _suggest(trial, name, given) for name, given in bounds.items()})


def make_objective(
    task: TableTask,
    score: Callable[[dspy.Example, dspy.Prediction], Any],
    *,
    n_rows: int,
    seeds: Sequence[int],
    bounds: Bounds = DEFAULT_BOUNDS,
    preset: str = "grounded",
    style: PromptStyle = "chat",
) -> Callable[[Any], float]:
    """An objective to maximise in a user's own `optuna.Study`: the mean score over seeds.

    Args:
        task: the table.
        score: of a generation task and what a program made of it, such as a `TableMetric`; higher is better.
        n_rows: rows written for each seed.
        seeds: replicates; a run that ends short of rows scores what it has.
        bounds, preset, style: see `search_space`.
    """

    def objective(trial: Any) -> float:
        settings = search_space(trial, bounds, preset, style)
        program = METHODS[settings.method](settings)
        return float(np.mean([_scored(program, task, score, n_rows, seed) for seed in seeds]))

    return objective


def _scored(program: Any, task: TableTask, score: Any, n_rows: int, seed: int) -> float:
    try:
        prediction = program(task=task, n_rows=n_rows, seed=seed)
    except NotEnoughRowsError as error:
        prediction = error.prediction
    result = score(dspy.Example(task=task, n_rows=n_rows, seed=seed).with_inputs("task", "n_rows", "seed"), prediction)
    return float(getattr(result, "score", result))


def _suggest(trial: Any, name: str, given: Sequence[Any]) -> Any:
    if name not in RunSettings.model_fields:
        raise SettingsError(f"{name!r} is no setting; use some of {', '.join(RunSettings.model_fields)}")
    if len(given) == 0:
        raise SettingsError(f"the bounds of {name!r} are empty")
    if isinstance(given[0], (int, float)) and len(given) == 2:
        low, high = given
        if low > high:
            raise SettingsError(f"the bounds of {name!r} are inverted: {low} > {high}")
        whole = isinstance(low, int) and isinstance(high, int)
        return trial.suggest_int(name, low, high) if whole else trial.suggest_float(name, low, high)
    return trial.suggest_categorical(name, list(given))
