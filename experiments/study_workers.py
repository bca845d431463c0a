"""Is a trial lost, or run twice, when workers of a study are killed? Is the budget held?

    uv run --extra postgres python experiments/study_workers.py

Starts PostgreSQL in a folder of its own (Debian: apt-get install postgresql), then 8 processes that work on 200
simulated trials; 3 of them are killed (SIGKILL) on the way and started anew. Then the same with a budget that does not
last for all trials, and both with a journal file. One line for each, in experiments/results/study_workers.csv.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from lines import told

from tagal_dspy.errors import BudgetError
from tagal_dspy.settings import Budget
from tagal_dspy.study import Objective, SimulatedRuns, Space, begin_study, find_study, finished, open_storage, work
from tagal_dspy.study.objective import spent_of

NAME = "workers"
HEARTBEAT = 2
SPACE = {"n_shots": [2, 40], "temperature": [0.3, 1.3], "codec": ["csv", "json", "sentence"], "n_iter": [1, 3]}
UNPRIVILEGED = "postgres"
ROWS, LATENCY, N_SEEDS = 60, 0.4, 3


class Signed(Objective):
    """Its trials say which process runs them."""

    def __call__(self, trial: Any) -> Any:
        trial.set_user_attr("process", os.getpid())
        return super().__call__(trial)


def objective(max_calls: int | None) -> Objective:
    runs = SimulatedRuns(ROWS, latency=LATENCY)
    replicates = [(None, seed) for seed in range(N_SEEDS)]
    return Signed(Space(SPACE), runs, replicates, budget=Budget(max_calls=max_calls))


def worker(storage: str, max_calls: int | None) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = objective(max_calls)
    with suppress(BudgetError):
        work(find_study(NAME, made, open_storage(storage, HEARTBEAT)), made)


@contextmanager
def postgres() -> Iterator[str]:
    """A server on a socket in a new folder, run by a user without privileges; raises `LookupError` without one."""
    user = UNPRIVILEGED if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="tagal-pg-") as folder:
        if user is not None:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        run = {"check": True, "stdout": subprocess.DEVNULL, "user": user, "cwd": folder}
        subprocess.run([program("initdb"), "-D", data, "-A", "trust", "-U", "study"], **run)
        options = f"-c listen_addresses='' -k {folder} -c fsync=off"
        control = [program("pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log"]
        subprocess.run([*control, "-o", options, "start"], **run)
        try:
            yield f"postgresql://study@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)


@contextmanager
def journal() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/study.journal"


def program(name: str) -> str:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = str(places[0]) if places else shutil.which(name)
    if found is None:
        raise LookupError(f"PostgreSQL is not installed: there is no {name}")
    return found


def start(storage: str, max_calls: int | None) -> subprocess.Popen[bytes]:
    limit = ["--max-calls", str(max_calls)] if max_calls else []
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, __file__, "--worker", storage, *limit], env=one_thread)


def line(kind: str, storage: str, max_calls: int | None, given: Namespace) -> dict[str, Any]:
    """Have a study done by processes of which some are killed."""
    made = objective(max_calls)
    study = begin_study(NAME, made, open_storage(storage, HEARTBEAT), given.trials)
    began = time.monotonic()
    workers = [start(storage, max_calls) for _ in range(given.workers)]
    killed = 0
    for number in range(given.kills):
        wait_for(lambda n=number: len(finished(study)) >= (n + 1) * given.trials // (given.kills + 2), workers)
        wait_for(lambda n=number: workers[n].pid in at_work(study), workers)
        workers[number].send_signal(signal.SIGKILL)
        workers[number].wait()
        killed += workers[number].pid in at_work(study)
        workers[number] = start(storage, max_calls)
    codes = [each.wait() for each in workers]
    trials = study.get_trials(deepcopy=False)
    tickets = Counter(trial.user_attrs["ticket"] for trial in finished(study))
    return {
        "storage": kind,
        "workers": given.workers,
        "killed_at_work": killed,
        "finished": sum(tickets.values()),
        "distinct": len(tickets),
        "retried": sum("retry_history" in trial.system_attrs for trial in trials),
        "left_running": sum(trial.state.name in ("RUNNING", "WAITING") for trial in trials),
        "worker_errors": sum(code != 0 for code in codes),
        "runs": sum(len(trial.user_attrs["replicates"]) for trial in finished(study)),
        "calls": int(spent_of(trials)["calls"]),
        "max_calls": max_calls or 0,
        "seconds": round(time.monotonic() - began, 1),
    }


def at_work(study: Any) -> list[int]:
    """The processes that run a trial."""
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    return [trial.user_attrs.get("process") for trial in running]


def wait_for(is_so: Callable[[], bool], workers: list[subprocess.Popen[bytes]]) -> None:
    while not is_so() and any(each.poll() is None for each in workers):
        time.sleep(0.1)


def claims(lines: pd.DataFrame, n_trials: int) -> Iterator[tuple[str, bool]]:
    for each in lines.to_dict("records"):
        said = f"{each['storage']}: {each['finished']} finished trials of {n_trials}, {each['distinct']} distinct"
        if each["max_calls"]:
            held = each["calls"] <= each["max_calls"] and each["finished"] == each["distinct"]
            yield f"{said}, {each['calls']} of {each['max_calls']} calls", held
        else:
            whole = each["finished"] == each["distinct"] == n_trials and not each["left_running"]
            yield f"{said}, {each['retried']} run again after a kill", whole and not each["worker_errors"]


def main() -> int:
    parser = ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--worker", metavar="STORAGE")
    parser.add_argument("--storages", nargs="+", default=["postgresql", "journal"])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--max-calls", type=int, nargs="+", default=[0, 6000], help="0 is no limit")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "study_workers.csv")
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.max_calls[0] or None)
        return 0
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lines = []
    for kind, max_calls in itertools.product(given.storages, given.max_calls):
        with postgres() if kind == "postgresql" else journal() as storage:
            lines.append(line(kind, storage, max_calls or None, given))
        print(lines[-1], flush=True)
        pd.DataFrame(lines).to_csv(given.out, index=False)
    return told(claims(pd.DataFrame(lines), given.trials))


if __name__ == "__main__":
    sys.exit(main())
