"""What a study says, and that it says it without flattery."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import optuna
import pytest
from studies import simulated, study_of

from tagal_dspy.errors import DataError, EngineError
from tagal_dspy.settings import Budget
from tagal_dspy.study import (
    Candidate,
    Limits,
    Outcome,
    SimulatedRuns,
    answers,
    best_quality,
    choose,
    rerun,
    true_quality,
)
from tagal_dspy.study.answers import FINAL_SEEDS, SELECTION_SEEDS, importances
from tagal_dspy.study.running import finished


class Counted:
    """Simulated runs that remember their seeds."""

    def __init__(self, noise: float = 0.08) -> None:
        self.fingerprint = {"counted": True}
        self.seeds: list[int] = []
        self._runs = SimulatedRuns(20, noise=noise)

    def __call__(self, candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        self.seeds.append(seed)
        table = {"table": object()} if seed >= SELECTION_SEEDS else {}
        return Outcome(**{**vars(self._runs(candidate, task, seed, budget)), **table})


@pytest.fixture(scope="module")
def runs() -> Counted:
    return Counted()


@pytest.fixture(scope="module")
def study(runs: Counted) -> Any:
    return study_of(simulated(4, runs), 24)


@pytest.fixture(scope="module")
def found(study: Any, runs: Counted) -> dict[str, Any]:
    return answers(study, simulated(4, runs), test=lambda task, table: 0.7, n_fresh=4, n_bootstraps=3)


def test_answers_are_ready_for_json(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_interval_comes_from_seeds_that_neither_trials_nor_the_choice_saw(found: dict[str, Any], runs: Counted) -> None:
    kinds = {seed // 1_000_000 for seed in runs.seeds}
    assert kinds == {0, SELECTION_SEEDS // 1_000_000, FINAL_SEEDS // 1_000_000}
    assert sum(seed >= FINAL_SEEDS for seed in runs.seeds) == 2 * 4
    fresh = found["best"]["fresh"]
    assert fresh["low"] < fresh["mean"] < fresh["high"]
    assert fresh["n"] == 4


def test_test_rows_are_looked_at_in_the_final_runs_alone(found: dict[str, Any]) -> None:
    assert found["best"]["test"]["mean"] == found["paper"]["test"]["mean"] == pytest.approx(0.7)


def test_report_that_is_made_again_runs_nothing(study: Any, found: dict[str, Any], runs: Counted) -> None:
    n_runs = len(runs.seeds)
    again = answers(study, simulated(4, runs), test=lambda task, table: 0.0, n_fresh=4, n_bootstraps=3)
    assert len(runs.seeds) == n_runs
    assert again == found


def test_best_settings_beat_the_paper_and_the_difference_is_paired(found: dict[str, Any]) -> None:
    gap = found["difference"]
    assert gap["difference"] == pytest.approx(found["best"]["fresh"]["mean"] - found["paper"]["fresh"]["mean"])
    assert gap["n_pairs"] == 4
    assert gap["difference"] > 0


def test_frontier_holds_what_nothing_beats_in_quality_and_calls(found: dict[str, Any]) -> None:
    lines = {line["trial"]: line for line in found["trials"]}
    best = [lines[number] for number in found["frontier"]]
    assert all(a["calls"] <= b["calls"] and a["quality"] < b["quality"] for a, b in pairwise(best))
    assert max(line["quality"] for line in lines.values()) == best[-1]["quality"]


def test_trials_are_told_in_their_order_also_where_one_was_tried_again() -> None:
    asked: list[int] = []

    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        asked.append(seed)
        if len(asked) == 1:
            raise EngineError("the server is down")
        return SimulatedRuns(20)(candidate, task, seed, budget)

    objective, storage = simulated(1, evaluate), optuna.storages.InMemoryStorage()
    with pytest.raises(EngineError):
        study_of(objective, 4, storage)
    found = answers(study_of(objective, 4, storage), objective, n_finalists=1, n_fresh=2, n_bootstraps=1)
    assert [line["trial"] for line in found["trials"]] == [1, 2, 3, 4]


def test_parameter_that_decides_is_the_most_important_with_its_uncertainty() -> None:
    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        return Outcome({"csv": 0.9, "json": 0.5, "sentence": 0.1}[candidate.settings.codec] + seed / 1000)

    objective = simulated(1, evaluate)
    study = study_of(objective, 16)
    found = importances(objective.space, finished(study), n_bootstraps=4)
    name, share = next(iter(found.items()))
    assert name == "codec"
    assert share["low"] <= share["share"] <= 1.0
    assert share["share"] > 0.8


def test_of_few_or_like_trials_nothing_is_said_to_matter() -> None:
    objective = simulated(1, lambda *run: Outcome(0.5))
    assert importances(objective.space, finished(study_of(objective, 2))) == {}
    assert importances(objective.space, finished(study_of(objective, 5))) == {}


def test_settings_beyond_a_limit_are_not_chosen() -> None:
    objective = simulated(1, limits=Limits(privacy=0.95))
    with pytest.raises(DataError, match="none of the 2 finished trials keeps the limits"):
        choose(study := study_of(objective, 2), objective, rerun(study, objective))


def test_choice_without_noise_is_the_best_trial() -> None:
    objective = simulated(2, SimulatedRuns(20, noise=0.0))
    study = study_of(objective, 20)
    chosen = choose(study, objective, rerun(study, objective))
    assert chosen.number == study.best_trial.number
    assert true_quality(chosen.candidate.settings) >= 0.97 * best_quality(objective.space)


def test_study_of_several_goals_is_answered_by_quality() -> None:
    objective = simulated(2, goals=["quality", "cost"])
    found = answers(study_of(objective, 6), objective, n_fresh=2, n_bootstraps=2)
    assert found["goals"] == ["quality", "cost"]
    assert found["best"]["toml"].startswith('lm = "local"')
