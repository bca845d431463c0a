"""Are planted biases named first, and do real rows raise no alarm? One line per table and number of rows.

    TAGAL_DATA_DIR=... uv run python experiments/discrepancies.py [SEEDS]

Rows that are no training rows are drawn, a bias is planted in them, and what `measure` names first is compared with it:
one value in 60 % of the rows of a numeric column (stuck), the rows of the most frequent class alone (lost), and the
column that tells most about the target shuffled (broken). Results go to experiments/results/discrepancies.csv.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from lines import TARGETS
from sklearn.metrics import mutual_info_score

from tagal_dspy import TableTask, load_dataset
from tagal_dspy.measures.discrepancies import measure
from tagal_dspy.schema import NumericalColumn
from tagal_dspy.signatures import Discrepancy

RESULTS = Path(__file__).parent / "results" / "discrepancies.csv"
TABLES = {**TARGETS, "penguins": "species"}
STUCK_SHARE = 0.6


def main(n_seeds: int) -> None:
    lines = [result(table, target, n_rows, n_seeds) for table, target in TABLES.items() for n_rows in (30, 50, 100)]
    pd.DataFrame(lines).to_csv(RESULTS, index=False)
    print(pd.DataFrame(lines).to_string(index=False))


def result(table: str, target: str, n_rows: int, n_seeds: int) -> dict[str, object]:
    task = TableTask(load_dataset(table).frame, target)
    biases = Biases(task, n_rows)
    named = {"real": 0, "stuck": 0, "lost": 0, "broken": 0}
    milliseconds = []
    for seed in range(n_seeds):
        rows = biases.real(seed)
        milliseconds.append(timed(task, rows))
        named["real"] += bool(found(task, rows))
        named["stuck"] += names_first(task, biases.stuck(rows, seed), biases.number)
        named["lost"] += names_first(task, biases.lost(seed), target)
        named["broken"] += names_first(task, biases.broken(rows, seed), biases.telling)
    return {
        "table": table,
        "rows": n_rows,
        "seeds": n_seeds,
        "alarms_on_real_rows": named["real"],
        **{f"{bias}_named_first": named[bias] for bias in ("stuck", "lost", "broken")},
        "cpu_milliseconds": round(float(np.median(milliseconds)), 1),
    }


class Biases:
    """Rows of a task that no program saw, with and without a bias."""

    def __init__(self, task: TableTask, n_rows: int) -> None:
        self.unseen = pd.concat([task.validation, task.test], ignore_index=True)
        self.n_rows, self.target = n_rows, str(task.schema.target)
        self.number = next(each.name for each in task.schema.columns if isinstance(each, NumericalColumn))
        others = [name for name in task.schema.names if name != self.target]
        self.telling = max(others, key=lambda name: self._told(task.train, name))

    def _told(self, frame: pd.DataFrame, name: str) -> float:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values) and values.nunique() > 10:
            values = pd.qcut(values, 4, duplicates="drop")
        return float(mutual_info_score(values.astype(str), frame[self.target].astype(str)))

    def real(self, seed: int) -> pd.DataFrame:
        return self.unseen.sample(min(self.n_rows, len(self.unseen)), random_state=seed)

    def stuck(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        changed = rows.copy()
        changed.loc[np.random.default_rng(seed).random(len(rows)) < STUCK_SHARE, self.number] = rows[self.number].iloc[
            0
        ]
        return changed

    def lost(self, seed: int) -> pd.DataFrame:
        most = self.unseen[self.target].mode()[0]
        of_class = self.unseen[self.unseen[self.target] == most]
        return of_class.sample(min(self.n_rows, len(of_class)), random_state=seed)

    def broken(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        return rows.assign(**{self.telling: rows[self.telling].sample(frac=1, random_state=seed).to_numpy()})


def found(task: TableTask, rows: pd.DataFrame) -> list[Discrepancy]:
    return measure(task, task.schema.to_rows(rows))


def names_first(task: TableTask, rows: pd.DataFrame, column: str) -> bool:
    discrepancies = found(task, rows)
    return bool(discrepancies) and column in discrepancies[0].columns


def timed(task: TableTask, rows: pd.DataFrame) -> float:
    canonical = task.schema.to_rows(rows)
    started = time.process_time()
    measure(task, canonical)
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
