"""Does the score put tables in the order that everybody would?

    TAGAL_DATA_DIR=... uv run python experiments/sanity.py

One line for each table and seed, in experiments/results/sanity.csv; every seed splits its table anew, at most 4 000
of its rows, and scores as many rows as there are test rows, at most 200, with the default metric but for one seed of
its classifiers. The score that a second metric object gives to the shuffled rows is taken for the first seeds only: it
costs as much as all the others.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
from lines import TARGETS, arguments, recorded, told

from tagal_dspy import TableMetric, TableTask, load_dataset
from tagal_dspy.metrics import Learning, baseline

N_TABLE, N_ROWS = 4000, 200
N_REPEATED = 2
FLIPPED = 0.2
LEARNING = Learning(seeds=(0,), n_bootstrap=50)
ORDER = ("real", "flipped", "marginals"), ("real", "gaussian_copula", "marginals")


def line(name: str, seed: int) -> dict[str, Any]:
    dataset = load_dataset(name)
    frame = dataset.frame.sample(min(N_TABLE, len(dataset.frame)), random_state=seed)
    task = TableTask(frame, target=TARGETS.get(name, dataset.target), split_seed=seed)
    made, metric = tables(task, seed), TableMetric(learning=LEARNING)
    found = {kind: metric.evaluate(task, table) for kind, table in made.items()}
    again = None
    if seed < N_REPEATED:
        shuffled = made["real"].sample(frac=1, random_state=seed)
        again = TableMetric(learning=LEARNING).evaluate(task, shuffled).score == found["real"].score
    return {
        "rows": len(made["real"]),
        **{kind: round(each.score, 4) for kind, each in found.items()},
        "copy_fidelity": round(found["copy"].objectives["fidelity"], 4),
        "copy_privacy": round(found["copy"].objectives["privacy"], 4),
        "shuffled_is_equal": again,
    }


def tables(task: TableTask, seed: int) -> dict[str, pd.DataFrame]:
    n_rows = min(N_ROWS, len(task.test))
    real = task.test.sample(n_rows, random_state=seed)
    return {
        "real": real,
        "flipped": flipped(real, str(task.schema.target), seed),
        "copy": task.train.sample(n_rows, random_state=seed),
        "collapsed": real.dropna().iloc[[0] * n_rows],
        # Not the streams that the metric draws its floor from.
        **{name: baseline(name, task=task, n_rows=n_rows, seed=10_000 + seed) for name in ("marginals", ORDER[1][1])},
    }


def flipped(rows: pd.DataFrame, target: str, seed: int) -> pd.DataFrame:
    """A fifth of the labels changed to another one."""
    rng = np.random.default_rng(seed)
    labels, values = sorted(rows[target].unique()), rows[target].to_numpy().copy()
    for place in rng.permutation(len(rows))[: round(FLIPPED * len(rows))]:
        values[place] = rng.choice([label for label in labels if label != values[place]])
    return rows.assign(**{target: values})


def claims(lines: pd.DataFrame) -> list[tuple[str, bool]]:
    found = []
    for table, each in lines.groupby("table", sort=False):
        mean = each.mean(numeric_only=True)
        for order in ORDER:
            said = " > ".join(f"{kind} {mean[kind]:.2f} ± {1.96 * each[kind].sem():.2f}" for kind in order)
            found.append((f"{table}: {said}", mean[list(order)].is_monotonic_decreasing))
        said = f"{table}: train copies have fidelity {mean['copy_fidelity']:.2f}, "
        said += f"privacy {mean['copy_privacy']:.2f} and score {mean['copy']:.2f}"
        found.append((said, mean["copy_fidelity"] > 0.7 and mean["copy_privacy"] < 0.1))
        found.append((f"{table}: collapsed rows score {mean['collapsed']:.2f}", mean["collapsed"] < 0.1))
        again = each["shuffled_is_equal"].dropna()
        said = f"{table}: shuffled rows score the same to the last bit, {len(again)} of {len(each)} looked at"
        found.append((said, bool(len(again)) and again.astype(bool).all()))
    return found


if __name__ == "__main__":
    given = arguments(str(__doc__).splitlines()[0], __file__, list(TARGETS), 20)
    sys.exit(told(claims(recorded(given, line))))
