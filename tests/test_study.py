"""Settings from Optuna trials."""

from __future__ import annotations

from typing import Any

import dspy
import optuna
import pytest
from scripts import shop_task, shop_writer

from tagal_dspy.errors import SettingsError
from tagal_dspy.study import make_objective, search_space
from tagal_dspy.testing import scripted_lm


def test_bounded_settings_come_from_the_trial_and_others_from_the_preset() -> None:
    trial = optuna.trial.FixedTrial({"n_shots": 7, "temperature": 0.4, "codec": "json"})
    bounds = {"n_shots": [2, 40], "temperature": [0.1, 1.0], "codec": ["csv", "json"]}
    settings = search_space(trial, bounds, preset="paper")
    assert (settings.n_shots, settings.temperature, settings.codec, settings.n_iter) == (7, 0.4, "json", 3)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [({"magic": [1, 2]}, "'magic' is no setting"), ({"n_shots": []}, "empty"), ({"n_shots": [9, 2]}, "inverted")],
)
def test_impossible_bounds_are_refused(bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        search_space(optuna.trial.FixedTrial({}), bounds)


def test_objective_works_in_a_study_of_the_user() -> None:
    objective = make_objective(
        shop_task(),
        lambda example, prediction: len(prediction.table) / example.n_rows,
        n_rows=5,
        seeds=[0, 1],
        bounds={"n_shots": [2, 4]},
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    with dspy.context(lm=scripted_lm(shop_writer(), cache=False)):
        study.optimize(objective, n_trials=2)
    assert study.best_value == 1.0
