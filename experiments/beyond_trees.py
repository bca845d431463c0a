"""Where trees cannot follow: regions and classes with hardly any real row, and free texts.

    TAGAL_DATA_DIR=... python experiments/beyond_trees.py [--only region class text] [--seeds 0 1 2 3 4 5] [--lm local]

- `region`: a table loses all rows of a region but none, or five. Fifty rows of the region are asked for (`--where`) and
  held against half of those that were lost: mean total variation distance of all other columns (numbers in five bins),
  lower is better. Beside ours: rows of trees that happen to be inside, rows of trees with the cells of the region
  written over theirs, and the other half of the lost rows.
- `class`: a class keeps five training rows, and fifty are asked for (`--rows-per`). Area under the ROC curve, on the
  test rows, of forests that learn from what was kept and the new rows. Beside ours: trees, SMOTE, and nothing new.
- `text`: the first sentence that scikit-learn writes about each estimator, and its kind. Accuracy, on the test rows, of
  a linear model that learns the kind from the texts of sixty new rows, and the share of texts that no real row has.

A line for each goes to experiments/results/beyond_trees.csv, a summary to beyond_trees.md; what stands there already is
not made again.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lines import TARGETS
from run import utility

from tagal_dspy import NotEnoughRowsError, TableTask, TagalSynthesizer, load_dataset
from tagal_dspy.conditions import Condition
from tagal_dspy.metrics.baselines import baseline

RESULTS = Path(__file__).parent / "results" / "beyond_trees.csv"
TABLES = {**TARGETS, "penguins": "species"}
REGIONS = {
    "thyroid": "Gender == 'M' and Smoking == 'Yes'",
    "adult": "education == 'Masters' and sex == 'Female'",
    "travel": "FrequentFlyer == 'Yes' and AnnualIncomeClass == 'Low Income'",
    "penguins": "species == 'Chinstrap' and sex == 'male'",
}
RARE = {"thyroid": "Yes", "adult": ">50K", "travel": "1", "penguins": "Chinstrap"}
"""The class that keeps five rows."""

N_ROWS, N_TEXTS, N_KEPT = 50, 60, 5

Line = dict[str, Any]


def ours(frame: pd.DataFrame, target: str, lm: str, seed: int, n_rows: int, **asked: Any) -> pd.DataFrame:
    """Our rows, as many as came: a region may have fewer than are asked for."""
    synthesizer = TagalSynthesizer(lm, seed=seed).fit(frame, target, withholds=False)
    try:
        table = synthesizer.sample(n_rows, **asked)
    except NotEnoughRowsError as error:
        table = error.prediction.table
    assert isinstance(table, pd.DataFrame)
    return table


def region(name: str, seed: int, lm: str) -> Iterator[Line]:
    target, where = TABLES[name], REGIONS[name]
    whole = TableTask(load_dataset(name).frame, target, withholds=False)
    condition = Condition.parse(where, whole.schema)
    inside = np.array([condition.holds(row) for row in whole.train_rows])
    lost = np.random.default_rng(seed).permutation(np.flatnonzero(inside))
    truth, others = whole.train.iloc[lost[: len(lost) // 2]], whole.train.iloc[lost[len(lost) // 2 :]]
    free = [each for each in whole.schema.names if f"{each} ==" not in where]
    for n_kept in (0, N_KEPT):
        kept = pd.concat([whole.train[~inside], others.head(n_kept)], ignore_index=True)
        few = TableTask(kept, target, withholds=False)
        trees = baseline("cart", task=few, n_rows=50 * N_ROWS, seed=seed)
        among = np.array([condition.holds(row) for row in few.schema.to_rows(trees)])
        tables = {
            "ours": ours(kept, target, lm, seed, N_ROWS, where=where),
            "trees, those inside": trees[among].head(N_ROWS),
            "trees, cells written over": trees.head(N_ROWS).assign(
                **{each: truth[each].iloc[0] for each in set(whole.schema.names) - set(free)}
            ),
            "real rows": others.sample(N_ROWS, replace=True, random_state=seed)
            if len(others) < N_ROWS
            else others.head(N_ROWS),
        }
        for peer, table in tables.items():
            value = distance(whole.train, truth, table, free) if len(table) >= N_ROWS / 2 else math.nan
            yield {"case": f"{n_kept} real rows", "peer": peer, "rows": len(table), "value": value}


def distance(real: pd.DataFrame, truth: pd.DataFrame, table: pd.DataFrame, columns: Sequence[str]) -> float:
    """The mean total variation distance of columns, numbers in five bins of all real rows."""
    found = []
    for name in columns:
        cut = _cut(real[name])
        one, other = (cut(frame[name]).value_counts(normalize=True) for frame in (truth, table))
        found.append(one.sub(other, fill_value=0).abs().sum() / 2)
    return float(np.mean(found))


def _cut(values: pd.Series[Any]) -> Callable[[pd.Series[Any]], pd.Series[Any]]:
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= 5:
        return lambda some: some.astype(object).where(some.notna(), "missing")
    edges = np.unique(values.quantile([0.2, 0.4, 0.6, 0.8]))
    return lambda some: pd.Series(np.where(some.isna(), -1, np.searchsorted(edges, some)))


def few_of_a_class(name: str, seed: int, lm: str) -> Iterator[Line]:
    target, label = TABLES[name], RARE[name]
    whole = TableTask(load_dataset(name).frame, target)
    is_label = whole.train[target].astype(str) == label
    kept = whole.train[is_label].sample(N_KEPT, random_state=seed)
    few = pd.concat([whole.train[~is_label].head(1000), kept], ignore_index=True)
    tables = {"nothing new": few.head(0), "ours": ours(few, target, lm, seed, N_ROWS, rows_per={label: N_ROWS})}
    task = TableTask(few, target, withholds=False)
    for peer in ("cart", "smote"):
        made = baseline(peer, task=task, n_rows=200 * N_ROWS, seed=seed)
        tables[peer] = made[made[target].astype(str) == label].head(N_ROWS)
    for peer, table in tables.items():
        known = pd.concat([few, table], ignore_index=True)
        yield {"case": f"{label}: {N_KEPT} real rows", "peer": peer, "rows": len(table), "value": utility(whole, known)}


def estimators() -> pd.DataFrame:
    """What scikit-learn's estimators are, in its own words."""
    from sklearn.utils import all_estimators

    rows = []
    for kind in ("classifier", "regressor", "transformer", "cluster"):
        for _, estimator in all_estimators(type_filter=kind):
            about = " ".join((estimator.__doc__ or "").strip().split("\n\n")[0].split())
            rows.append({"about": about, "kind": kind})
    return pd.DataFrame(rows).drop_duplicates("about").reset_index(drop=True)


def texts(_: str, seed: int, lm: str) -> Iterator[Line]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    frame = estimators()
    task = TableTask(frame, "kind")
    tables = {
        "ours": ours(task.train, "kind", lm, seed, N_TEXTS),
        "cart": baseline("cart", task=task, n_rows=N_TEXTS, seed=seed),
        "real rows": baseline("real", task=task, n_rows=N_TEXTS, seed=seed),
    }
    for peer, table in tables.items():
        model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=500)).fit(
            table["about"], table["kind"]
        )
        is_new = ~table["about"].isin(set(frame["about"]))
        for case, value in (
            ("accuracy", model.score(task.test["about"], task.test["kind"])),
            ("new texts", is_new.mean()),
        ):
            yield {"case": case, "peer": peer, "rows": len(table), "value": float(value)}


EXPERIMENTS: dict[str, tuple[Callable[[str, int, str], Iterator[Line]], Sequence[str]]] = {
    "region": (region, list(REGIONS)),
    "class": (few_of_a_class, list(RARE)),
    "text": (texts, ["estimators"]),
}


def summary(done: pd.DataFrame) -> str:
    """Means over seeds with 95 % intervals."""
    lines = [
        "# Where trees cannot follow",
        "",
        "Printed by `experiments/beyond_trees.py`; its docstring says what each is.",
        "",
    ]
    lines += ["| experiment | table | case | peer | seeds | rows | value |", "|---" * 7 + "|"]
    keys = ["experiment", "table", "case", "peer"]
    for key, some in done.groupby(keys, sort=False):
        values = some["value"].dropna()
        shown = f"{values.mean():.3f}" if len(values) else "too few rows"
        if len(values) > 1:
            shown += f" ± {1.96 * values.std(ddof=1) / math.sqrt(len(values)):.3f}"
        lines.append(f"| {' | '.join(map(str, key))} | {len(some)} | {some['rows'].mean():.0f} | {shown} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(6)))
    parser.add_argument("--lm", default="local")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    done = pd.read_csv(given.out).to_dict("records") if given.out.exists() else []
    for seed in given.seeds:
        for experiment in given.only:
            lines_of, tables = EXPERIMENTS[experiment]
            for table in tables:
                key = {"experiment": experiment, "table": table, "seed": seed}
                if any(key.items() <= each.items() for each in done):
                    continue
                began = time.monotonic()
                done += [key | {**line, "value": round(line["value"], 4)} for line in lines_of(table, seed, given.lm)]
                pd.DataFrame(done).to_csv(given.out, index=False)
                print(key, round(time.monotonic() - began), "s", flush=True)
    told = summary(pd.DataFrame(done))
    given.out.with_suffix(".md").write_text(told + "\n")
    print(told)


if __name__ == "__main__":
    main()
