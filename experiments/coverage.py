"""Does the interval of a score hold the true score? Held-out real rows are truly 1, independent marginals truly 0.

    TAGAL_DATA_DIR=... uv run python experiments/coverage.py

One line for each simulation, in experiments/results/coverage.csv; every simulation splits its table anew. It must:
the test rows of one split are one draw from the table, and tables made of them share its luck, so that over seeds
of a single split an interval holds 1 nearly always or far too rarely. Models are logistic regressions alone, adult
has 1 000 rows and seven of its columns, thyroid seven: what takes time are pairs of columns and forests.
"""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
from lines import TARGETS, arguments, recorded, told
from scipy.stats import binom

from tagal_dspy import TableMetric, TableTask, load_dataset
from tagal_dspy.metrics import Learning, baseline

N_ROWS = {"thyroid": 60, "travel": 150}
COLUMNS = {
    "thyroid": ["Age", "Smoking", "Risk", "N", "Stage", "Response", "Recurred"],
    "adult": ["age", "education.num", "marital.status", "sex", "hours.per.week", "workclass", "income"],
}
TRUTHS = {"real": 1.0, "marginals": 0.0}
PARTS = ("utility", "fidelity")


def line(name: str, seed: int) -> dict[str, Any]:
    dataset = load_dataset(name)
    frame = dataset.frame[COLUMNS.get(name, list(dataset.frame.columns))]
    frame = frame.sample(min(1000, len(frame)), random_state=seed)
    task = TableTask(frame, target=TARGETS.get(name, dataset.target), split_seed=seed)
    n_rows = min(N_ROWS.get(name, 200), len(task.test))
    metric = TableMetric(learning=Learning(classifiers=("LR",), n_bootstrap=200, seed=seed), seed=seed)
    tables = {
        "real": task.test.sample(n_rows, random_state=seed),
        # Not the streams that the metric draws its floor from.
        "marginals": baseline("marginals", task=task, n_rows=n_rows, seed=10_000 + seed),
    }
    found: dict[str, Any] = {"rows": n_rows}
    for kind, table in tables.items():
        for part, score in metric.evaluate(task, table).scores.items():
            ends = {"": score.calibrated, "_low": score.low, "_high": score.high}
            found |= {f"{kind}_{part}{end}": round(value, 4) for end, value in ends.items()}
    return found


def claims(lines: pd.DataFrame) -> list[tuple[str, bool]]:
    found = []
    for table, each in lines.groupby("table", sort=False):
        for kind, truth in TRUTHS.items():
            for part in PARTS:
                values = each[f"{kind}_{part}"]
                off = 1.96 * values.std() / len(each) ** 0.5
                covered = each[f"{kind}_{part}_low"].le(truth) & each[f"{kind}_{part}_high"].ge(truth)
                said = f"{table}, {kind} rows: {part} is {values.mean():.2f} ± {off:.2f}; "
                said += f"{covered.sum()} of {len(each)} intervals hold {truth:.0f}"
                # 90 to 99 % as far as so many simulations can tell.
                low, high = binom.ppf(0.005, len(each), 0.90), binom.ppf(0.995, len(each), 0.99)
                found.append((said, low <= covered.sum() <= high))
    return found


if __name__ == "__main__":
    given = arguments(str(__doc__).splitlines()[0], __file__, ["travel", "adult"], 200)
    sys.exit(told(claims(recorded(given, line))))
