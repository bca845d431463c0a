"""Generate with the settings of a file, score on the test split, and record one line per run.

    TAGAL_DATA_DIR=... uv run python experiments/run.py experiments/configs/ablation.toml

Results go to experiments/results/<name of the file>.csv; runs that stand there already are not made again. Answers of
models are cached: calls, tokens and seconds are of what was not answered from the cache, draws are all there were.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy import NotEnoughRowsError, TableTask, TagalSynthesizer, load_dataset
from tagal_dspy.metrics import Learning, tstr

RESULTS = Path(__file__).parent / "results"
N_FORESTS = 5


def main(config: Path) -> None:
    from tagal_dspy.settings import read_toml

    plan = read_toml(config)
    out = RESULTS / f"{config.stem}.csv"
    done = pd.read_csv(out).to_dict("records") if out.exists() else []
    for seed in plan["seeds"]:
        for run in plan["run"]:
            settings = json.dumps(run.get("settings", {}), sort_keys=True)
            key = {"table": run["table"], "target": run["target"], "settings": settings, "seed": seed}
            if not any(key.items() <= each.items() for each in done):
                done.append(key | result(run, seed))
                pd.DataFrame(done).to_csv(out, index=False)
                print(done[-1], flush=True)
    print(summary(pd.DataFrame(done)))


def result(run: dict[str, Any], seed: int) -> dict[str, Any]:
    dataset = load_dataset(run["table"])
    synthesizer = TagalSynthesizer("local", seed=seed, **run.get("settings", {}))
    synthesizer.fit(dataset.frame, target=run["target"])
    started = time.monotonic()
    try:
        synthesizer.sample(run["rows"])
        prediction = synthesizer.prediction_
    except NotEnoughRowsError as error:
        prediction = error.prediction
    table, task = prediction.table, synthesizer.task_
    reasons = pd.Series([reject.reason for reject in prediction.rejects], dtype=object).value_counts()
    [used] = prediction.usage.values() or [{"calls": 0, "prompt_tokens": 0, "completion_tokens": 0}]
    return {
        "rows": len(table),
        "score": round(utility(task, table), 4),
        "real_score": round(float(np.mean([utility(task, real(task, len(table), s)) for s in range(N_FORESTS)])), 4),
        "share_gap": share_gap(task, table),
        "duplicates": int(table.duplicated().sum()),
        "real_duplicates": int(real(task, len(table), 0).duplicated().sum()),
        "collisions": sum(row in task.real_rows for row in task.schema.to_rows(table)),
        "draws": prediction.n_draws,
        "rejects": json.dumps(reasons.to_dict()),
        "seconds": round(time.monotonic() - started, 1),
        **used,
    }


def real(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    known = pd.concat([task.train, task.validation], ignore_index=True)
    return known.sample(min(n_rows, len(known)), random_state=seed)


def utility(task: TableTask, table: pd.DataFrame) -> float:
    """Of random forests trained on the table alone, on the test rows: mean AUC (macro one-vs-rest), or R²."""
    forests = Learning(classifiers=("RF",), seeds=tuple(range(N_FORESTS)))
    return tstr(synthetic=table, holdout=task.test, schema=task.schema, learning=forests).value


def share_gap(task: TableTask, table: pd.DataFrame) -> float | None:
    """How far the share of a class is from the real one at most; None where there are no classes."""
    if not task.schema.classes:
        return None
    shares = [frame[task.schema.target].astype(str).value_counts(normalize=True) for frame in (task.train, table)]
    return round(float(shares[0].sub(shares[1], fill_value=0).abs().max()), 4)


def summary(results: pd.DataFrame) -> str:
    grouped = results.groupby(["table", "target", "settings"], sort=False)
    table = grouped.agg(
        runs=("seed", "size"),
        rows=("rows", "mean"),
        score=("score", "mean"),
        spread=("score", "std"),
        real=("real_score", "mean"),
        share_gap=("share_gap", "max"),
        duplicates=("duplicates", "sum"),
        real_duplicates=("real_duplicates", "sum"),
        collisions=("collisions", "sum"),
        seconds=("seconds", "mean"),
    )
    return table.round(3).to_string()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
