"""Studies that many work on: nothing is lost, nothing is done twice, and what does not fit together is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from studies import BOUNDS, simulated, study_of

from tagal_dspy.errors import SettingsError
from tagal_dspy.settings import Budget
from tagal_dspy.study import (
    Candidate,
    Objective,
    Outcome,
    SimulatedRuns,
    Space,
    begin_study,
    find_study,
    finished,
    load_study,
    open_storage,
    run_study,
    work,
)

EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "study_workers.py"


@pytest.fixture(params=["sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / f"study.{request.param}")


def test_study_has_exactly_the_trials_that_were_asked_for_and_goes_on_where_it_ended(storage: str) -> None:
    assert len(finished(run_study("a", simulated(), storage, 3))) == 3
    study = run_study("a", simulated(), open_storage(storage), 5)
    assert sorted(trial.user_attrs["ticket"] for trial in finished(study)) == [0, 1, 2, 3, 4]
    assert len(run_study("a", simulated(), storage, 5).trials) == 5


def test_first_trial_is_the_nearest_to_the_paper() -> None:
    study = study_of(simulated(), 2)
    assert study.trials[0].params == {"n_shots": 20, "temperature": 0.7, "codec": "csv"}
    assert study.trials[1].params != study.trials[0].params


def test_workers_share_the_trials(tmp_path: Path) -> None:
    storage = str(tmp_path / "study.journal")
    objective = simulated(evaluate=SimulatedRuns(20, latency=0.02))
    begin_study("a", objective, storage, 12)
    done: list[int] = []

    def help_out() -> None:
        done.append(work(find_study("a", objective, open_storage(storage)), objective))

    threads = [threading.Thread(target=help_out) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = load_study("a", storage)
    assert sum(done) == 12
    assert sorted(trial.user_attrs["ticket"] for trial in finished(study)) == list(range(12))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Objective(Space({"n_shots": [2, 9]}), SimulatedRuns(20), [(None, 0)]), "bounds of codec was"),
        (simulated(2), r"replicates was \[\[null, 0\], \[null, 1\], \[null, 2\]\]"),
        (simulated(evaluate=SimulatedRuns(30)), "rows was 20, now 30"),
        (simulated(goals=["quality", "cost"]), "goals was"),
        (Objective(Space(BOUNDS, preset="paper"), SimulatedRuns(20), [(None, 0)]), 'preset was "grounded", now'),
    ],
)
def test_study_of_something_else_is_refused_with_what_differs(other: Objective, message: str) -> None:
    storage = optuna.storages.InMemoryStorage()
    study_of(simulated(), 1, storage)
    with pytest.raises(SettingsError, match=message):
        study_of(other, 1, storage)


def test_study_that_does_not_exist_is_named_beside_those_that_do(tmp_path: Path) -> None:
    storage = str(tmp_path / "a.sqlite")
    run_study("known", simulated(), storage, 1)
    with pytest.raises(SettingsError, match="does not hold study 'other'; it holds 'known'"):
        load_study("other", storage)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("/nowhere/at/all.sqlite", "all.sqlite cannot be reached: unable to open"),
        ("/nowhere/at/all.journal", "all.journal cannot be reached"),
        ("postgresql://me:secret@127.0.0.1:9/study", "storage postgresql://127.0.0.1:9/study cannot be reached"),
        ("postgresql://127.0.0.1:9/study?user=me&password=secret", "storage postgresql://127.0.0.1:9/study cannot"),
        ("postgresql://me:top@secret@127.0.0.1:9/study", "storage postgresql://127.0.0.1:9/study cannot be reached"),
        ("postgresql://me:secret@127.0.0.1:9:9/study", "cannot be reached"),
        ("grpc://127.0.0.1", "storage grpc://127.0.0.1 names no port"),
        ("grpc://me:secret@127.0.0.1", "storage grpc://127.0.0.1 names no port"),
        ("nodatabase://x", "cannot be reached"),
    ],
)
def test_storage_that_cannot_be_reached_is_an_error_without_secrets(where: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        open_storage(where)
    assert "secret" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_trial_of_a_worker_that_died_is_run_again_with_what_it_had(storage: str) -> None:
    objective = simulated()
    study = begin_study("a", objective, open_storage(storage, heartbeat=1), 2)
    dead = study.ask()  # and no sign of life ever after
    candidate = objective.space.candidate(dead)
    dead.set_user_attr("replicates", [SimulatedRuns(20)(candidate, None, 0, Budget()).line])
    dead.set_user_attr("set aside", {"calls": 5, "tokens": 0, "cost": 0})
    time.sleep(2.1)
    asked: list[int] = []

    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        asked.append(seed)
        return SimulatedRuns(20)(candidate, task, seed, budget)

    objective.evaluate = evaluate
    work(study, objective)
    assert asked == [0, 1, 2, 1, 2]
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params == study.trials[0].params
    assert study.trials[2].user_attrs["cut short"] == [{"calls": 5, "tokens": 0, "cost": 0}]


@pytest.mark.parametrize("moment", ["in a run", "with the result"])
def test_worker_that_was_taken_for_dead_leaves_its_trial_to_the_other(tmp_path: Path, moment: str) -> None:
    storage = open_storage(str(tmp_path / "study.journal"), heartbeat=1)
    buried: list[Any] = []

    def bury(now: str) -> None:
        if now == moment and not buried:
            [running] = [trial for trial in study.trials if trial.state.name == "RUNNING"]
            buried.append(running)
            storage.set_trial_state_values(running._trial_id, optuna.trial.TrialState.FAIL)
            storage.get_heartbeat_stale_trial_callback()(study, running)  # type: ignore[attr-defined]

    def evaluate(candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        bury("in a run")
        return Outcome(0.5)

    class Buried(Objective):
        def __call__(self, trial: Any) -> Any:
            result = super().__call__(trial)
            bury("with the result")
            return result

    objective = Buried(Space(BOUNDS), evaluate, [(None, 0)])
    study = begin_study("a", objective, storage, 1)
    assert work(study, objective) == 1
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]


def test_two_trials_of_one_ticket_are_not_both_run() -> None:
    storage = optuna.storages.InMemoryStorage()
    objective = simulated()
    study = begin_study("test", objective, storage, 1)
    study.enqueue_trial({}, {"ticket": 0})
    assert work(study, objective) == 1
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]


def test_grpc_proxy_serves_a_study(tmp_path: Path) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    from optuna.storages._grpc.server import make_server

    server = make_server(open_storage(str(tmp_path / "a.journal")), "127.0.0.1", port := 13_900)  # type: ignore[arg-type]
    server.start()
    try:
        assert len(finished(run_study("a", simulated(), f"grpc://127.0.0.1:{port}", 3))) == 3
    finally:
        server.stop(0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "journal"])
def test_killed_workers_lose_no_trial_and_finish_none_twice(kind: str, tmp_path: Path) -> None:
    if kind == "postgresql" and not (shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        pytest.skip("PostgreSQL is not installed: there is no initdb")
    out = tmp_path / "lines.csv"
    size = ["--workers", "2", "--trials", "4", "--kills", "1", "--max-calls", "0", "--storages", kind, "--out", out]
    ran = subprocess.run([sys.executable, EXPERIMENT, *size], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    [line] = pd.read_csv(out).to_dict("records")
    assert (line["finished"], line["distinct"], line["left_running"]) == (4, 4, 0)
    assert line["killed_at_work"] == 1
