"""Settings from Optuna trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest

from tagal_dspy.errors import SettingsError
from tagal_dspy.optimizers.space import Given
from tagal_dspy.settings import MANY_ROWS, PromptStyle, RunSettings
from tagal_dspy.study import DEFAULT_BOUNDS, Range, Space, search_space

CHAT = DEFAULT_BOUNDS["chat"]


class Recording(Given):
    """A trial that remembers what it was asked for."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__({**Space().nearest_to_paper(), **params})
        self.asked: list[str] = []

    def suggest_int(self, name: str, *bounds: Any, **options: Any) -> Any:
        self.asked.append(name)
        return super().suggest_int(name)

    suggest_float = suggest_categorical = suggest_int


def asked_for(**params: Any) -> set[str]:
    trial = Recording(params)
    search_space(trial)
    return set(trial.asked)


def test_bounded_settings_come_from_the_trial_and_others_from_the_preset() -> None:
    trial = optuna.trial.FixedTrial({"n_shots": 7, "temperature": 0.4, "codec": "json"})
    bounds = {"n_shots": [2, 40], "temperature": [0.1, 1.0], "codec": ["csv", "json"]}
    settings = search_space(trial, bounds, preset="paper")
    assert (settings.n_shots, settings.temperature, settings.codec, settings.n_iter) == (7, 0.4, "json", 3)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"n_shot": [1, 2]}, "'n_shot' is not a parameter; did you mean 'n_shots'"),
        ({"n_shots": []}, "empty"),
        ({"n_shots": [9, 2]}, "inverted: 9 > 2"),
        ({"n_shots": {"low": 2}}, "give \\[low, high\\]"),
        ({"n_shots": ["a", "b"]}, "n_shots: Input should be a valid integer"),
        ({"codec": "csv"}, "give \\[low, high\\]"),
        ({"codec": ["csv", "yaml"]}, "codec: Input should be 'csv'"),
        ({"temperature": [0.1, 5.0]}, "temperature: Input should be less than or equal to 2"),
        ({"temperature": {"low": 0, "high": 1, "log": True}}, "begin above 0"),
        ({"temperature": {"low": "cold", "high": 1}}, "a range is of numbers"),
        ({}, "nothing varies"),
    ],
)
def test_impossible_bounds_are_refused(bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        search_space(optuna.trial.FixedTrial({}), bounds)


def test_setting_that_is_fixed_cannot_vary() -> None:
    with pytest.raises(SettingsError, match="n_shots: fixed by the settings and varied"):
        Space({"n_shots": [2, 9]}, fixed={"n_shots": 3})


def test_fixed_setting_is_left_out_of_the_default_bounds() -> None:
    assert "n_shots" not in Space(fixed={"n_shots": 3}).bounds


def test_default_space_begins_with_the_default_of_the_paper() -> None:
    space = Space()
    first = space.candidate(optuna.trial.FixedTrial(space.nearest_to_paper())).settings
    assert first == RunSettings(rows_per_draw=MANY_ROWS)


def test_first_parameters_lie_within_bounds_that_leave_the_paper_out() -> None:
    space = Space({"n_shots": [2, 9], "temperature": [0.9, 1.1], "critic": ["none", "measured"]})
    assert space.nearest_to_paper() == {"n_shots": 9, "temperature": 0.9, "critic": "none"}


def test_without_a_critic_there_is_one_turn_and_nothing_to_keep_or_to_warm() -> None:
    asked = asked_for(critic="none")
    assert not asked & {"n_iter", "keep", "critic_temperature"}
    assert search_space(Given({**Space().nearest_to_paper(), "critic": "none"})).n_iter == 1


@pytest.mark.parametrize(
    ("params", "name", "applies"),
    [
        ({"critic": "eye", "n_iter": 2}, "critic_temperature", True),
        ({"critic": "eye", "n_iter": 1}, "critic_temperature", False),
        ({"critic": "eye", "n_iter": 1, "method": "prompt-refine"}, "critic_temperature", True),
        ({"critic": "measured", "n_iter": 2}, "critic_temperature", False),
        ({"method": "prompt-refine"}, "summary_temperature", True),
        ({"method": "reduced-loop"}, "summary_temperature", False),
        ({"critic": "measured", "n_iter": 1}, "keep", False),
        ({"critic": "measured", "n_iter": 2}, "keep", True),
    ],
)
def test_setting_is_asked_for_only_where_it_has_an_effect(params: dict[str, Any], name: str, applies: bool) -> None:
    assert (name in asked_for(**params)) is applies


@pytest.mark.parametrize("style", ["chat", "continuation"])
def test_every_point_of_the_default_spaces_is_possible(style: PromptStyle) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = Space(style=style)
    lms = {space.candidate(study.ask()).settings.n_shots for _ in range(30)}
    assert len(lms) > 3


def test_models_and_programs_vary_like_settings() -> None:
    space = Space({"lm": ["local", "openai/x"], "program": ["", "better.json"]})
    assert space.candidate(Given({"lm": "openai/x", "program": "better.json"}))[1:] == ("openai/x", "better.json")
    assert space.candidate(Given({"lm": "local", "program": ""}))[1:] == ("local", None)


def test_place_of_a_number_in_its_range_leads_back_to_it() -> None:
    for bound in (Range(2, 40, log=True), Range(1, 5)):
        values = range(int(bound.low), int(bound.high) + 1)
        assert [bound.at(bound.share(value)) for value in values] == list(values)
    assert np.isclose(Range(0.3, 1.3).at(Range(0.3, 1.3).share(0.77)), 0.77)
