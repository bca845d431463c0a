"""What a real compilation gives: seed program against optimized program on held-out tasks, whatever comes out.

    TAGAL_DATA_DIR=... uv run python experiments/compile.py [--tables thyroid adult] [--written 80] [--reflection fixed]

GEPA and the table metric, with the embedded model as task LM; a program without a critic, so that its only prompt is
the generator's; ten rows a table, five from each prompt; four tasks to train on, four to choose by, eight held out. The
reflection LM answers with one of a few fixed instructions, or is the same model (--reflection same). A budget of calls
ends it, which is what so many tables are planned to take. Calls are recorded in experiments/results/compile_runs: made
again after it was stopped, it goes on from there. `--lm marginals` tries it with a model that draws every value by
itself. One line for each table and seed in experiments/results/compile.csv.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

import dspy
import numpy as np
from lines import TARGETS, recorded

from tagal_dspy import SynthLoop, TableTask, load_dataset, make_lm
from tagal_dspy.metrics import TableMetric
from tagal_dspy.optimizers import compile_program, planned, split_tasks
from tagal_dspy.recording import RunStore
from tagal_dspy.settings import Budget, run_settings
from tagal_dspy.testing import Answer, Asked, scripted_lm

RESULTS = Path(__file__).parent / "results"
N_ROWS = 10

INSTRUCTIONS = [
    "A table of real records. No two rows are equal, and the values of each row fit together.",
    "The rows below go on with new records of the same population: rare values stay rare, frequent ones frequent.",
    "Every class has its typical values. Write each row so that its class could be told from its other values.",
    "The table covers the whole range of every numeric column, not only values near the mean.",
    "Each record is a different case; none repeats a row above, and all respect how the columns depend on each other.",
    "Data of high quality: complete rows, plausible combinations, as many different values as in the rows shown.",
]


def fixed() -> dspy.LM:
    """Proposes one of the instructions above, for equal questions the same one."""
    return scripted_lm(lambda asked: {"new_instructions": random.Random(repr(asked.turns)).choice(INSTRUCTIONS)})


def marginals(task: TableTask) -> dspy.LM:
    """Writes every value as often as there are real ones, whatever stands in the other columns."""

    def answer(asked: Asked) -> Answer:
        rng = random.Random(repr((asked.system, asked.turns)))
        columns = list(zip(*task.schema.to_rows(task.train), strict=True))
        rows = [",".join(rng.choice(values) for values in columns) for _ in range(N_ROWS)]
        return {"rows": "\n".join(rows)}

    return scripted_lm(answer, cache=False)


def line(table: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    task = TableTask(load_dataset(table).frame, TARGETS[table])
    lm = marginals(task) if given.lm == "marginals" else make_lm(given.lm, cache=False)
    style = "chat" if given.lm == "marginals" else "continuation"
    program = SynthLoop(run_settings("grounded", style, n_iter=1, critic="none", rows_per_draw=5, branches=5))
    tasks = split_tasks([task], N_ROWS, seed=seed)
    path = given.out.parent / f"{given.out.stem}_runs" / f"{table}_{seed}_{given.reflection}.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with dspy.context(lm=lm), RunStore(path) as store:
        plan = planned(program, tasks, "gepa", Budget(max_calls=10**9))
        found = compile_program(
            program,
            tasks,
            TableMetric(),
            "gepa",
            budget=Budget(max_calls=given.written * plan.calls),
            reflection_lm=fixed() if given.reflection == "fixed" else None,
            store=store,
            seed=seed,
            n_threads=given.threads,
        )
    gain = found.gain
    return {
        "lm": given.lm,
        "reflection": given.reflection,
        "seed_score": round(float(np.mean(found.seed_scores)), 4),
        "optimized_score": round(float(np.mean(found.scores)), 4) if found.scores else None,
        "gain": round(gain.difference, 4) if gain else None,
        "low": round(gain.low, 4) if gain else None,
        "high": round(gain.high, 4) if gain else None,
        "p_value": round(gain.p_value, 4) if gain else None,
        "improved": found.improved,
        "candidates": len(found.lineage.candidates),
        "tables": sum(each.n_runs for each in found.lineage.candidates.values()),
        "calls": sum(used["calls"] for used in found.usage.values()),
        "tokens": sum(used["prompt_tokens"] + used["completion_tokens"] for used in found.usage.values()),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "verdict": found.verdict,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=["thyroid", "adult"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--written", type=int, default=80, help="tables that the budget is planned to pay for")
    parser.add_argument("--lm", default="local")
    parser.add_argument("--reflection", choices=["fixed", "same"], default="fixed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "compile.csv")
    given = parser.parse_args()
    recorded(given, lambda table, seed: line(table, seed, given))
