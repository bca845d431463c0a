"""Simulated runs, and the claims of the experiments on a few seeds."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tagal_dspy.settings import Budget, RunSettings
from tagal_dspy.study import Candidate, SimulatedRuns, Space, best_quality, true_quality

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
CANDIDATE = Candidate(RunSettings())


def test_runs_scatter_around_the_true_quality_as_widely_as_the_papers() -> None:
    runs = SimulatedRuns()
    scores = [runs(CANDIDATE, None, seed, Budget()).score for seed in range(400)]
    assert np.mean(scores) == pytest.approx(true_quality(CANDIDATE.settings), abs=0.015)
    assert np.std(scores) == pytest.approx(0.08, abs=0.01)


def test_equal_seeds_give_equal_runs_and_other_worlds_others() -> None:
    first, again, elsewhere = (SimulatedRuns(world=world)(CANDIDATE, None, 1, Budget()) for world in (0, 0, 1))
    assert first == again
    assert first.score != elsewhere.score


def test_no_settings_of_a_space_are_better_than_the_best() -> None:
    space, rng = (
        Space({"n_shots": [2, 40], "critic": ["none", "eye", "grounded"], "n_iter": [1, 5]}),
        np.random.default_rng(0),
    )
    qualities = [
        true_quality(RunSettings(preset="grounded", n_shots=int(n), critic=str(critic), n_iter=int(i), keep="best"))  # type: ignore[arg-type]
        for n, critic, i in zip(
            rng.integers(2, 41, 200), rng.choice(["none", "eye", "grounded"], 200), rng.integers(1, 6, 200), strict=True
        )
    ]
    assert max(qualities) <= best_quality(space)


def test_server_takes_so_many_calls_a_second_and_a_budget_cuts() -> None:
    runs = SimulatedRuns(20, rate=100.0)
    calls, _ = runs.taken(CANDIDATE.settings)
    started = time.monotonic()
    for seed in range(5):
        runs(CANDIDATE, None, seed, Budget())
    assert time.monotonic() - started >= 5 * calls / 100
    assert runs(CANDIDATE, None, 0, Budget(max_calls=calls - 1)).cut


def test_study_finds_better_settings_than_random_search_and_the_papers_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    found = import_module("study_simulated").line("simulated", 0)
    assert found["study"] >= 0.95
    assert found["study"] > max(found["random"], found["grid"], found["paper_default"])
