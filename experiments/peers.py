"""What a hundred rows of ours are worth beside those that a tree, SMOTE or a copula makes from the same real rows.

    TAGAL_DATA_DIR=... python experiments/peers.py [--tables thyroid adult] [--peers ours cart] [--seeds 0 1 2 3 4 5]

Everything is judged by the test rows, which no generator sees. A line for each table, peer and seed goes to
experiments/results/peers.csv, and a summary to peers.md; lines that stand there already are not made again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from run import utility

from tagal_dspy import TableTask, TagalSynthesizer, load_dataset, make_lm
from tagal_dspy.metrics import TableMetric
from tagal_dspy.metrics.baselines import baseline
from tagal_dspy.metrics.fidelity import detection
from tagal_dspy.metrics.membership import membership
from tagal_dspy.metrics.tables import ready
from tagal_dspy.settings import run_settings

RESULTS = Path(__file__).parent / "results" / "peers.csv"
TABLES = {
    "thyroid": ("thyroid", "Recurred"),
    "adult": ("adult", "income"),
    "travel": ("travel", "ChurnOrNot"),
    "penguins": ("penguins", "species"),
    "penguins mass": ("penguins", "body_mass_g"),
}
OURS: dict[str, dict[str, Any]] = {"ours": {}, "ours+trees": {"trees": 2.0}}
"""Settings that differ from the defaults."""

PEERS = (
    *OURS,
    "real",
    "real_curated",
    "marginals",
    "few_shots",
    "smote",
    "cart",
    "gaussian_copula",
    "smote+checks",
    "cart+checks",
    "cart+selected",
)
CHEAP = ("smote", "cart", "gaussian_copula", "marginals", "smote+checks", "cart+checks")
"""Peers that the best cheap one is among: real rows are no generator, and selection is ours."""

SHOWN = (
    "score",
    "auc",
    "fidelity",
    "utility",
    "detection",
    "attack",
    "within_one_cell",
    "collisions",
    "duplicates",
    "cpu_seconds",
    "tokens",
)


def ours(frame: pd.DataFrame, target: str, n_rows: int, seed: int, **settings: Any) -> tuple[pd.DataFrame, int]:
    """Our table, and the tokens that it took; models are asked anew."""
    synthesizer = TagalSynthesizer(make_lm("local", cache=False), seed=seed, **settings).fit(frame, target)
    table = synthesizer.sample(n_rows)
    used = synthesizer.prediction_.usage.values()
    return table, sum(each["prompt_tokens"] + each["completion_tokens"] for each in used)


def settings_of_ours(peer: str) -> str:
    settings = run_settings("grounded", "continuation", **OURS[peer]).model_dump(exclude_defaults=True)
    return json.dumps(settings, sort_keys=True)


def result(name: str, peer: str, seed: int, n_rows: int, metric: TableMetric) -> dict[str, Any]:
    dataset, target = load_dataset(TABLES[name][0]), TABLES[name][1]
    task = TableTask(dataset.frame, target)
    final = TableTask.of_parts(task.schema, train=task.train, validation=task.test)
    began, tokens = time.process_time(), 0
    if peer in OURS:
        table, tokens = ours(dataset.frame, target, n_rows, seed, **OURS[peer])
    else:
        table = baseline(peer, task=task, n_rows=n_rows, seed=seed)
    cpu_seconds = time.process_time() - began
    found = metric.evaluate(final, table)
    test, rows = ready(task.schema, test=task.test, rows=table)
    real = baseline("real", task=task, n_rows=n_rows, seed=seed)
    to_rows = task.schema.to_rows
    attacked = membership(task.schema, synthetic=to_rows(table), train=task.train_rows, holdout=to_rows(task.test))
    return {
        "score": found.score,
        "auc": utility(task, table),
        "fidelity": found.objectives["fidelity"],
        "utility": found.objectives["utility"],
        "detection": detection(real=test, synthetic=rows, schema=task.schema),
        "collisions": sum(row in task.real_rows for row in task.schema.to_rows(table)),
        "duplicates": int(table.duplicated().sum()),
        "real_duplicates": int(real.duplicated().sum()),
        "attack": attacked.train.auc if attacked.train else float("nan"),
        "within_one_cell": attacked.within_one_cell.value,
        "real_within_one_cell": attacked.within_one_cell.real,
        "cpu_seconds": round(cpu_seconds, 2),
        "tokens": tokens / n_rows,
    }


def summary(done: pd.DataFrame) -> str:
    lines = ["# Ours and the cheap peers", "", "Printed by `experiments/peers.py`, judged by the test rows.", ""]
    lines += ["Means over seeds with 95 % intervals. `auc` is R² for a number; detection and attack are best at 0.5."]
    lines.append("")
    head = f"| peer | seeds | {' | '.join(SHOWN)} |"
    for (name, n_rows), some in done.groupby(["table", "rows"], sort=False):
        lines += [f"## {name}, {n_rows} rows", "", head, "|---" * (len(SHOWN) + 2) + "|"]
        for peer, each in some.groupby("peer", sort=False):
            cells = [_interval(each[column]) for column in SHOWN]
            lines.append(f"| {peer} | {len(each)} | {' | '.join(cells)} |")
        lines += ["", *_comparison(some), ""]
    return "\n".join(lines)


def _comparison(some: pd.DataFrame) -> list[str]:
    """Ours less the best cheap peer, seed by seed."""
    told = []
    for column in ("score", "auc"):
        by_peer = some.pivot_table(index="seed", columns="peer", values=column)
        cheap = [peer for peer in CHEAP if peer in by_peer]
        if "ours" not in by_peer or not cheap:
            return []
        best = by_peer[cheap].mean().idxmax()
        gaps = (by_peer["ours"] - by_peer[best]).dropna().to_numpy()
        told.append(f"{column}: ours less {best} {gaps.mean():+.3f} (p = {sign_flips(gaps):.3f}, {len(gaps)} seeds).")
    return told


def sign_flips(gaps: np.ndarray) -> float:
    """Two-sided p value of a mean difference: the share of all flips of signs that give one as far from 0."""
    signs = np.array(list(itertools.product([-1, 1], repeat=len(gaps))))
    return float(np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-12))


def _interval(values: pd.Series[float]) -> str:
    if len(values) < 2:
        return f"{values.mean():.3g}"
    return f"{values.mean():.3g} ± {1.96 * values.std(ddof=1) / math.sqrt(len(values)):.2g}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    parser.add_argument("--peers", nargs="+", default=list(PEERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(6)))
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    done = pd.read_csv(given.out, keep_default_na=False).to_dict("records") if given.out.exists() else []
    metric = TableMetric()
    for seed, name, peer in itertools.product(given.seeds, given.tables, given.peers):
        key = {"table": name, "peer": peer, "seed": seed, "rows": given.rows}
        key |= {"settings": settings_of_ours(peer) if peer in OURS else ""}
        if any(key.items() <= each.items() for each in done):
            continue
        done.append(key | result(name, peer, seed, given.rows, metric))
        pd.DataFrame(done).to_csv(given.out, index=False, float_format="%.5g")
        print({k: v for k, v in done[-1].items() if k != "settings"}, flush=True)
    told = summary(pd.DataFrame(done))
    given.out.with_suffix(".md").write_text(told + "\n")
    print(told)


if __name__ == "__main__":
    main()
