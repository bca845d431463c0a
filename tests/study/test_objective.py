"""What a trial runs, what it is worth, what it takes and what it leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import optuna
import pandas as pd
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from scripts import shop_frame, shop_task, shop_writer
from studies import simulated, study_of

from tagal_dspy.errors import BudgetError, EngineError, PromptTooLongError, SettingsError
from tagal_dspy.settings import Budget, RunSettings, read_toml
from tagal_dspy.study import Candidate, Limits, Objective, Outcome, ProgramRuns, SimulatedRuns, Space, finished
from tagal_dspy.study.objective import spent_of
from tagal_dspy.testing import scripted_lm


def share_of_rows(example: dspy.Example, prediction: dspy.Prediction) -> float:
    return len(prediction.table) / example.n_rows


def real_runs(answer: Any = None, **options: Any) -> ProgramRuns:
    lm = scripted_lm(answer or shop_writer(), cache=False)
    return ProgramRuns(lambda name: lm, options.pop("metric", share_of_rows), 5, **options)


def real_objective(runs: ProgramRuns, n_seeds: int = 2, **options: Any) -> Objective:
    replicates = [(shop_task(), seed) for seed in range(n_seeds)]
    return Objective(Space({"n_shots": [2, 4]}, fixed={"critic": "none", "n_iter": 1}), runs, replicates, **options)


def test_objective_works_in_a_study_of_the_user() -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(real_objective(real_runs()), n_trials=2)
    assert study.best_value == 1.0
    assert study.best_trial.user_attrs["settings"]["n_shots"] in (2, 3, 4)


def test_run_that_ends_short_of_rows_scores_what_it_has() -> None:
    runs = real_runs(lambda asked: {"rows": "30,20.5,Mons,no"})
    settings = RunSettings(critic="none", n_iter=1, strictness="strict")
    outcome = runs(Candidate(settings), shop_task(), 0, Budget())
    assert outcome.score == pytest.approx(1 / 5)
    assert "1 of 5 rows accepted" in outcome.problem


def test_prompt_that_is_too_long_scores_worst_and_a_failing_model_ends_the_study() -> None:
    def refuse(asked: Any) -> Any:
        raise error

    error: Exception = PromptTooLongError("5000 tokens")
    candidate = Candidate(RunSettings(critic="none", n_iter=1))
    assert real_runs(refuse)(candidate, shop_task(), 0, Budget()).score == -1.0
    error = EngineError("the server is down")
    with pytest.raises(EngineError, match="server is down"):
        real_runs(refuse)(candidate, shop_task(), 0, Budget())


def test_candidates_run_on_the_same_replicates_in_the_same_order() -> None:
    asked: list[int] = []

    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        asked.append(seed)
        return Outcome(0.5)

    study = study_of(simulated(4, evaluate), 2)
    assert asked == [0, 1, 2, 3] * 2
    assert [list(trial.intermediate_values) for trial in study.trials] == [[0, 1, 2, 3]] * 2


def test_candidate_that_loses_replicate_after_replicate_is_stopped_and_worth_its_mean() -> None:
    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        return Outcome(0.9 + seed / 1000 if candidate.settings.codec == "csv" else 0.1 + seed / 1000)

    study = study_of(simulated(12, evaluate), 8)
    stopped = [trial for trial in finished(study) if "stopped early after" in trial.user_attrs]
    assert stopped
    assert all(trial.params["codec"] != "csv" and trial.user_attrs["stopped early after"] < 12 for trial in stopped)
    assert all(trial.value < 0.2 and trial.state.name == "COMPLETE" for trial in stopped)


def test_several_goals_are_told_together_and_nothing_is_stopped() -> None:
    study = study_of(simulated(goals=["quality", "cost", "privacy"]), 3)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE", "MAXIMIZE"]
    trial = study.trials[0]
    runs = trial.user_attrs["replicates"]
    assert trial.values == pytest.approx([sum(each["score"] for each in runs) / 3, runs[0]["cost"], 0.9])
    assert trial.intermediate_values == {}


def test_limits_are_constraints_of_the_trial() -> None:
    limits = Limits(privacy=0.95, cost=1000)
    [trial] = study_of(simulated(limits=limits), 1).trials
    assert trial.constraints["collisions"] == 0.0
    assert trial.constraints["privacy"] == pytest.approx(0.05)
    assert trial.constraints["cost"] < 0


@pytest.mark.parametrize("option", [{"goals": ["quality", "cost"]}, {"limits": Limits(cost=1)}])
def test_cost_that_is_not_known_cannot_be_aimed_at_or_limited(option: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="price of this model is not known"):
        study_of(simulated(evaluate=lambda *run: Outcome(0.5, cost=None), **option), 1)


@pytest.mark.parametrize("goals", [[], ["speed"], ["quality", "quality"]])
def test_goals_that_do_not_exist_are_refused(goals: Any) -> None:
    with pytest.raises(SettingsError, match="use some of quality, cost, privacy"):
        simulated(goals=goals)


def test_trial_names_what_it_took() -> None:
    [trial] = study_of(simulated(), 1).trials
    runs = trial.user_attrs["replicates"]
    assert trial.user_attrs["calls"] == sum(each["calls"] for each in runs) > 0
    assert trial.user_attrs["cost"] == pytest.approx(sum(each["cost"] for each in runs))


def test_replicates_are_not_begun_once_the_budget_does_not_hold_the_largest_so_far() -> None:
    with pytest.raises(BudgetError, match="budget of 150 calls"):
        study_of(simulated(budget=Budget(max_calls=150)), 50, storage := optuna.storages.InMemoryStorage())
    study = optuna.load_study(study_name="test", storage=storage)
    assert 100 < spent_of(study.trials)["calls"] <= 150


def test_what_workers_set_aside_is_not_spent_twice() -> None:
    """Another worker's trial is under way, and has set aside nearly all."""
    storage = optuna.storages.InMemoryStorage()
    objective = simulated(budget=Budget(max_calls=150))
    study = study_of(objective, 1, storage)
    study.enqueue_trial({}, {"ticket": 99})
    other = study.ask()
    other.set_user_attr("set aside", {"calls": 149, "tokens": 0, "cost": 0})
    with pytest.raises(BudgetError, match="too little of it left"):
        study_of(objective, 2, storage)


def test_run_that_the_budget_cuts_says_nothing_of_the_candidate_but_is_paid() -> None:
    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        return Outcome(-1.0, calls=7, cut=True, problem="the budget is used up")

    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(BudgetError):
        study_of(simulated(evaluate=evaluate, budget=Budget(max_calls=10)), 1, storage)
    study = optuna.load_study(study_name="test", storage=storage)
    assert finished(study) == []
    assert spent_of(study.trials)["calls"] == 7


def test_program_that_the_budget_stops_is_cut() -> None:
    outcome = real_runs()(Candidate(RunSettings(rows_per_draw=1)), shop_task(), 0, Budget(max_calls=5))
    assert outcome.cut
    assert outcome.calls == 0


def test_trial_that_is_run_again_goes_on_after_its_replicates() -> None:
    class DownError(Exception):
        pass

    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        asked.append(seed)
        if seed == 2 and len(asked) == 3:
            raise DownError
        return SimulatedRuns(20)(candidate, task, seed, budget)

    asked: list[int] = []
    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(DownError):
        study_of(simulated(evaluate=evaluate), 1, storage)
    study = study_of(simulated(evaluate=evaluate), 1, storage)
    assert asked == [0, 1, 2, 2]
    [trial] = finished(study)
    assert trial.params == study.trials[0].params
    assert spent_of(study.trials)["calls"] == trial.user_attrs["calls"]


def test_artifacts_hold_settings_prompts_rows_and_scores_but_no_real_row(tmp_path: Path) -> None:
    store = FileSystemArtifactStore(str(tmp_path))
    study = optuna.create_study(direction="maximize")
    study.optimize(real_objective(real_runs(), artifacts=store), n_trials=1)
    kept = {each.filename: each for each in get_all_artifact_meta(study.trials[0], storage=study._storage)}
    assert set(kept) == {"settings.toml", "prompts.json", "scores.json", "rows-seed-0.csv", "rows-seed-1.csv"}
    texts = {name: (tmp_path / each.artifact_id).read_text() for name, each in kept.items()}
    assert len(texts["rows-seed-0.csv"].splitlines()) == 6
    assert json.loads(texts["scores.json"])["0"]["score"] == 1.0
    (tmp_path / "settings.toml").write_text(texts["settings.toml"])
    assert read_toml(tmp_path / "settings.toml")["n_shots"] == study.trials[0].params["n_shots"]
    real = shop_frame()["income"].astype(str)
    assert not any(value in texts["prompts.json"] for value in real)


def test_prompts_come_from_a_saved_program_and_settings_from_the_candidate(tmp_path: Path) -> None:
    runs = real_runs()
    saved = runs.program(Candidate(RunSettings(n_shots=9)))
    predict = saved.generator.predict
    predict.signature = predict.signature.with_instructions("Write well.")
    saved.save(tmp_path / "program.json")
    candidate = Candidate(RunSettings(n_shots=3, critic="none"), program=str(tmp_path / "program.json"))
    program = runs.program(candidate)
    assert program.generator.predict.signature.instructions == "Write well."
    assert program.settings.n_shots == 3
    with pytest.raises(Exception, match="cannot be read"):
        runs.program(replace_program(candidate, tmp_path / "none.json"))


def replace_program(candidate: Candidate, path: Path) -> Candidate:
    return candidate._replace(program=str(path))


def test_roles_have_temperatures_and_the_card_is_told_or_not() -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    settings = RunSettings(
        n_iter=2, critic_temperature=0.2, summary_temperature=0.1, method="prompt-refine", info="none"
    )
    runs = ProgramRuns(lambda name: lm, share_of_rows, 5)
    runs(Candidate(settings), shop_task(), 0, Budget())
    temperatures = {entry["kwargs"].get("temperature") for entry in lm.history}
    assert {0.7, 0.2, 0.1} <= temperatures
    writing = [asked for asked in lm.engine.asked if "rows" in asked.fields]
    assert not any("Columns:" in text for asked in writing for _, text in asked.turns)


def test_line_of_an_outcome_is_ready_for_json() -> None:
    outcome = replace(Outcome(0.5, {"privacy": 1.0}), table=pd.DataFrame({"x": [1]}))
    assert json.loads(json.dumps(outcome.line))["objectives"] == {"privacy": 1.0}
