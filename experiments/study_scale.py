"""Where does one machine end, and what does a study itself cost?

    TAGAL_DATA_DIR=... uv run --extra postgres python experiments/study_scale.py > experiments/scale.md

Three things are measured: a study of a thousand simulated trials on each storage; what a call costs on this side of
the network, by real programs with a model that answers at once; and what the metric of a trial costs. What follows from
them is written below the tables by hand.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pandas as pd
from lines import TARGETS
from study_workers import postgres

from tagal_dspy import TableMetric, TableTask, load_dataset
from tagal_dspy.settings import Budget, RunSettings
from tagal_dspy.study import (
    DEFAULT_BOUNDS,
    Candidate,
    Objective,
    ProgramRuns,
    SimulatedRuns,
    Space,
    begin_study,
    finished,
    open_storage,
    work,
)
from tagal_dspy.testing import scripted_lm

ROWS, SHOWN = 100, RunSettings(preset="grounded", critic="none", n_iter=1, rows_per_draw=20)


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measured(what: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock, of the processor, and what came out."""
    cpu, began = cpu_seconds(), time.monotonic()
    result = what()
    return time.monotonic() - began, cpu_seconds() - cpu, result


def studied(name: str, place: str | None, n_trials: int) -> dict[str, Any]:
    """A study by one process that waits for nothing; the last tenth of its trials apart."""
    objective = Objective(Space(DEFAULT_BOUNDS["chat"]), SimulatedRuns(ROWS), [(None, seed) for seed in range(3)])
    storage = open_storage(place) if place else optuna.storages.InMemoryStorage()
    tenth = n_trials // 10

    def until(n: int) -> Any:
        study = begin_study("scale", objective, storage, n)
        work(study, objective)
        return study

    took, cpu, _ = measured(lambda: until(n_trials - tenth))
    more, last, study = measured(lambda: until(n_trials))
    return {
        "storage": name,
        "trials": len(finished(study)),
        "calls simulated": sum(trial.user_attrs["calls"] for trial in finished(study)),
        "seconds": f"{took + more:.0f}",
        "CPU of a trial": f"{1000 * (cpu + last) / n_trials:.0f} ms",
        "of the last tenth": f"{1000 * last / tenth:.0f} ms",
    }


def studies(n_trials: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, postgres() as url:
        files = {kind: f"{folder}/a.{kind}" for kind in ("sqlite", "journal")}
        places = {"memory": None, **files, "postgresql": url}
        return [studied(name, place, n_trials) for name, place in places.items()]


def called(name: str) -> dict[str, Any]:
    """Real programs whose model answers at once with mixed real rows, and their metric."""
    task = TableTask(load_dataset(name).frame, target=TARGETS[name])
    metric, lm = TableMetric(), scripted_lm(mixed_rows(task.train), cache=False)
    spent: list[tuple[float, float]] = []

    def scored(example: Any, prediction: Any) -> Any:
        took, cpu, found = measured(lambda: metric(example, prediction))
        spent.append((took, cpu))
        return found

    runs = ProgramRuns(lambda _: lm, scored, ROWS)
    runs(Candidate(SHOWN), task, 0, Budget())
    _, cpu, later = measured(lambda: runs(Candidate(SHOWN), task, 1, Budget()))
    return {
        "table": name,
        "calls of a run": later.calls,
        "CPU of a call": f"{1000 * (cpu - spent[1][1]) / later.calls:.1f} ms",
        "metric of the first run": f"{spent[0][0]:.1f} s (CPU {spent[0][1]:.1f} s)",
        "of a later one": f"{spent[1][0]:.1f} s (CPU {spent[1][1]:.1f} s)",
    }


def mixed_rows(real: pd.DataFrame) -> Callable[[Any], dict[str, str]]:
    """Answers of rows whose cells come from real ones."""
    rng = np.random.default_rng(0)

    def answer(_: Any) -> dict[str, str]:
        mixed = {name: real[name].sample(40, random_state=rng).to_numpy() for name in real}
        return {"rows": pd.DataFrame(mixed).to_csv(index=False, header=False)}

    return answer


def table(lines: list[dict[str, Any]]) -> str:
    rows = [list(lines[0]), ["---"] * len(lines[0]), *(map(str, line.values()) for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    parser = ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("# Where one machine ends\n\nPrinted by `python experiments/study_scale.py`.\n")
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}.")
    print("One process, calls that take no time, settings proposed by the sampler of `run_study`.\n")
    print(table(studies(given.trials)), flush=True)
    print(f"\nTables of {ROWS} rows, {SHOWN.rows_per_draw} asked for in a call; a model that answers at once.\n")
    print(table([called(name) for name in ("thyroid", "adult")]))
    print(f"\nLoad average after: {os.getloadavg()[0]:.1f}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
