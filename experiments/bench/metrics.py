"""What the metrics cost, beside what others' cost on the same rows.

    TAGAL_DATA_DIR=... uv run python experiments/bench/metrics.py [name of a table with 15 columns]

Medians of repeated runs on warm caches (imports, floor and ceiling, the task's own rows), wall clock and processor
time: on a busy machine the second is what the work takes. To import synthcity takes torch; its PRDC needs NumPy and
scikit-learn alone, so its methods are read from the unpacked wheel (`pip download --no-deps synthcity`), whose folder
stands in SYNTHCITY.
"""

from __future__ import annotations

import ast
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import sklearn.metrics

from tagal_dspy import TableMetric, TableTask, load_dataset
from tagal_dspy.measures.quick_score import QuickScore
from tagal_dspy.metrics import Learning, baseline, prdc
from tagal_dspy.metrics.tables import Encoder, ready

N_RUNS = 5
N_ROWS, N_IN_LOOP, N_LARGE = 1000, 30, 100_000


def main(name: str, target: str) -> None:
    task = TableTask(load_dataset(name).frame, target=target)
    tables = [baseline("bootstrap_noise", task=task, n_rows=N_ROWS, seed=seed) for seed in range(N_RUNS + 1)]
    print(f"{name}: {len(task.train)} training, {len(task.validation)} validation rows; load {os.getloadavg()[0]:.1f}")
    metric = TableMetric()
    first = timed([lambda: metric.evaluate(task, tables[0])])
    said(f"metric, {N_ROWS} rows, cold (floor and ceiling too)", first)
    whole = timed([lambda table=table: metric.evaluate(task, table) for table in tables[1:]])
    said(f"metric, {N_ROWS} rows, warm", whole)
    report = timed([lambda table=table: sdmetrics_report(task, table) for table in tables[1:]])
    said("SDMetrics' QualityReport alone, same rows", report)
    print(f"  the whole metric takes {whole[1] / report[1]:.1f} times its processor time")
    print(f"peak memory so far: {peak():.2f} GiB")
    score = QuickScore(task)
    drawn = [[task.schema.to_rows(table.iloc[:N_IN_LOOP])] for table in tables]
    in_loop = timed([lambda rows=rows: score(rows) for [rows] in drawn])
    said(f"in-loop score, {N_IN_LOOP} rows", in_loop)
    beside_synthcity(task, tables[0])
    large = baseline("bootstrap_noise", task=task, n_rows=N_LARGE, seed=99)
    print(f"peak memory before {N_LARGE} rows: {peak():.2f} GiB")
    # Floor and ceiling are as large as the table: two replicates in place of eight, and no forests, save time alone.
    quick = TableMetric(n_replicates=2, learning=Learning(classifiers=("LR", "HGB"), n_bootstrap=200))
    said(f"metric, {N_LARGE} rows, cold", timed([lambda: quick.evaluate(task, large)]))
    print(f"peak memory after {N_LARGE} rows: {peak():.2f} GiB")


def timed(calls: list[Callable[[], Any]]) -> tuple[float, float]:
    """Median seconds, of the clock and of the processor."""
    pairs = []
    for call in calls:
        clock, processor = time.perf_counter(), time.process_time()
        call()
        pairs.append((time.perf_counter() - clock, time.process_time() - processor))
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def said(what: str, seconds: tuple[float, float]) -> None:
    print(f"{what}: {seconds[0]:.4f} s ({seconds[1]:.4f} s of processor time)", flush=True)


def peak() -> float:
    """The most memory this process had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def sdmetrics_report(task: TableTask, table: pd.DataFrame) -> None:
    from sdmetrics.reports import QualityReport

    report = QualityReport()
    report.num_rows_subsample = None
    metadata = {"tables": {"t": {"columns": {c.name: {"sdtype": kind(c)} for c in task.schema.modelled}}}}
    report.generate({"t": task.validation}, {"t": table}, metadata | {"relationships": []}, verbose=False)


def kind(column: Any) -> str:
    return "numerical" if column.kind == "numerical" else "categorical"


def beside_synthcity(task: TableTask, table: pd.DataFrame) -> None:
    real = task.train.head(N_ROWS)
    ours = timed([lambda: prdc(real=real, synthetic=table, schema=task.schema)] * N_RUNS)
    said(f"PRDC, {N_ROWS} rows against {N_ROWS}", ours)
    if "SYNTHCITY" not in os.environ:
        print("synthcity is left out: SYNTHCITY names no folder with its unpacked wheel")
        return
    frames = ready(task.schema, real=real, synthetic=table)
    encoder = Encoder(task.schema, frames[0])
    features, theirs = [encoder(frame) for frame in frames], synthcitys_prdc(Path(os.environ["SYNTHCITY"]))
    other = timed([lambda: theirs._compute_prdc(*features)] * N_RUNS)
    said("synthcity's PRDC, the same rows encoded", other)
    print(f"  it takes {other[1] / ours[1]:.2f} times our processor time; its values, then ours:")
    print(f"  {theirs._compute_prdc(*features)}\n  {prdc(real=real, synthetic=table, schema=task.schema)}")


def synthcitys_prdc(wheel: Path) -> Any:
    """synthcity's class without its base, which is what needs torch."""
    tree = ast.parse((wheel / "synthcity/metrics/eval_statistical.py").read_text())
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "PRDCScore"]
    found.bases = []
    found.body = [
        node for node in found.body if isinstance(node, ast.FunctionDef) and node.name.startswith(("_compute", "_get"))
    ]
    names: dict[str, Any] = {"np": np, "metrics": sklearn.metrics, "Any": Any, "Dict": dict, "Optional": Optional}
    exec(compile(ast.Module([found], []), "synthcity", "exec"), names)  # noqa: S102
    score = names["PRDCScore"]()
    score.nearest_k = 5
    return score


if __name__ == "__main__":
    main(*(sys.argv[1:] if len(sys.argv) == 3 else ("adult", "income")))
