"""Rows of models that follow instructions: prompt styles, presets and critics, beside each other.

    TAGAL_DATA_DIR=... python experiments/instruct.py --lm local:PATH [--tables thyroid] [--variants grounded]

`experiments/models.py` fetches models and prints their paths. Everything is judged by the test rows, which no model
sees. A line for each run goes to experiments/results/instruct.csv, and a summary to instruct.md; runs that stand there
are not made again.
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

import pandas as pd
from lines import TARGETS
from run import utility

from tagal_dspy import NotEnoughRowsError, TableTask, TagalSynthesizer, load_dataset, make_lm
from tagal_dspy.metrics import TableMetric
from tagal_dspy.settings import SMALL_MODEL

RESULTS = Path(__file__).parent / "results" / "instruct.csv"
TABLES = {**TARGETS, "penguins": "species"}

PLAIN = {"n_iter": 1, "critic": "none"}
"""One turn and no critic."""

ONE_CLASS = {name: value for name, value in SMALL_MODEL.items() if name not in ("n_iter", "critic")}
ONE_CLASS |= {"n_shots": 5, "rows_per_draw": 8, "rounds_ahead": 2}
"""Rows of one class a draw, chosen from twice as many, as models that continue text have by default. Chat prompts are
ten times as long: so that they are evaluated seldom, draws are larger, and few are under way at once."""

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"preset": "paper"},
    "grounded": {},
    "grounded, no critic": PLAIN,
    "grounded, no critic, selected": {**PLAIN, "overdraw": 2.0, "curation": "labels"},
    "one class a draw, no critic": {**PLAIN, **ONE_CLASS},
    "one class a draw, measured critic": {**ONE_CLASS, "n_iter": 2, "critic": "measured"},
    "one class a draw, grounded critic": {**ONE_CLASS, "n_iter": 2, "critic": "grounded"},
    "one class a draw, eye": {**ONE_CLASS, "n_iter": 2, "critic": "eye"},
    "continuation": {"style": "continuation"},
}
"""Settings that differ from the defaults; `style` and `preset` beside them."""

SHOWN = ("score", "auc", "fidelity", "tokens", "seconds", "duplicates", "rows_written")


def result(lm: str, table: str, settings: dict[str, Any], seed: int, n_rows: int) -> dict[str, Any]:
    dataset = load_dataset(table)
    task = TableTask(dataset.frame, TABLES[table])
    final = TableTask.of_parts(task.schema, train=task.train, validation=task.test)
    settings = dict(settings)
    model = make_lm(lm, style=settings.pop("style", None), cache=False)
    synthesizer = TagalSynthesizer(model, seed=seed, **settings)
    synthesizer.fit(dataset.frame, TABLES[table])
    began = time.monotonic()
    try:
        synthesizer.sample(n_rows)
        prediction = synthesizer.prediction_
    except NotEnoughRowsError as error:
        prediction = error.prediction
    seconds, rows = time.monotonic() - began, prediction.table
    used = list(prediction.usage.values())
    found = TableMetric().evaluate(final, rows) if len(rows) > 1 else None
    return {
        "score": found.score if found else float("nan"),
        "auc": utility(task, rows) if len(rows) > 1 else float("nan"),
        "fidelity": found.objectives.get("fidelity") if found else float("nan"),
        "utility": found.objectives.get("utility") if found else float("nan"),
        "rows_written": len(rows),
        "duplicates": int(rows.duplicated().sum()),
        "curve": json.dumps([round(each, 3) for each in prediction.curve]),
        "rejects": json.dumps(
            pd.Series([each.reason for each in prediction.rejects], dtype=object).value_counts().to_dict()
        ),
        "calls": sum(each["calls"] for each in used),
        "tokens": sum(each["prompt_tokens"] + each["completion_tokens"] for each in used),
        "seconds": round(seconds, 1),
    }


def summary(done: pd.DataFrame) -> str:
    """Means over seeds, a table for each number of rows."""
    lines = [
        "# Models that follow instructions",
        "",
        "Printed by `experiments/instruct.py`; means of seeds, 95 % intervals.",
    ]
    for n_rows, some in done.groupby("n_rows", sort=False):
        lines += ["", f"## {n_rows} rows", "", f"| table | model | variant | seeds | {' | '.join(SHOWN)} |"]
        lines.append("|---" * (len(SHOWN) + 4) + "|")
        for names, each in some.groupby(["table", "model", "variant"], sort=False):
            cells = [_interval(each[column]) for column in SHOWN]
            lines.append(f"| {' | '.join(map(str, names))} | {len(each)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(values: pd.Series[float]) -> str:
    reach = f" ± {1.96 * values.std(ddof=1) / math.sqrt(len(values)):.2g}" if len(values) > 1 else ""
    return f"{values.mean():.4g}{reach}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--lm", required=True)
    parser.add_argument("--tables", nargs="+", default=["thyroid", "adult"], choices=TABLES)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--settings", type=json.loads, default={}, help="on top of each variant, as JSON")
    parser.add_argument("--seeds", nargs="+", type=int, default=[10])
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    done = pd.read_csv(given.out).to_dict("records") if given.out.exists() else []
    for seed, table, variant in itertools.product(given.seeds, given.tables, given.variants):
        settings = {**VARIANTS[variant], **given.settings}
        key = {"table": table, "model": Path(given.lm).stem, "variant": variant, "seed": seed, "n_rows": given.rows}
        key |= {"settings": json.dumps(settings, sort_keys=True)}
        if not any(key.items() <= each.items() for each in done):
            done.append(key | result(given.lm, table, settings, seed, given.rows))
            pd.DataFrame(done).to_csv(given.out, index=False, float_format="%.5g")
            print({name: value for name, value in done[-1].items() if name != "settings"}, flush=True)
    told = summary(pd.DataFrame(done))
    given.out.with_suffix(".md").write_text(told + "\n")
    print(told)


if __name__ == "__main__":
    main()
