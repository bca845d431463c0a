"""A hundred rows from twenty or forty real ones: ours beside the cheap peers, and added to the real rows.

    TAGAL_DATA_DIR=... python experiments/few_rows.py [--tables thyroid adult] [--real 20 40] [--draws 0 1 2 3 4 5]

Each draw takes other real rows, class by class, and all of them may be shown; everything is judged by the same test
rows, which nobody saw: area under the ROC curve of random forests, the mean of five. Results go to
experiments/results/few_rows.csv, and a summary to few_rows.md; what stands there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lines import TARGETS
from run import utility

from tagal_dspy import TableTask, TagalSynthesizer, load_dataset
from tagal_dspy.metrics.baselines import baseline

RESULTS = Path(__file__).parent / "results" / "few_rows.csv"
TABLES = {**TARGETS, "penguins": "species"}
PEERS = ("smote", "cart")
N_ROWS = 100


def some_real_rows(whole: TableTask, n_rows: int, draw: int) -> pd.DataFrame:
    """Training rows of a task, as many of each class."""
    rng, places = np.random.default_rng([draw, n_rows]), []
    for of_class in whole.strata.values():
        places += rng.permutation(of_class)[: math.ceil(n_rows / len(whole.strata))].tolist()
    return whole.train.iloc[sorted(places[:n_rows])].reset_index(drop=True)


def made(few: TableTask, draw: int, settings: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Our table, and what it took."""
    synthesizer = TagalSynthesizer("local", seed=draw, **settings)
    synthesizer.fit(few.train, few.schema.target, withholds=False)
    started = time.monotonic()
    table = synthesizer.sample(N_ROWS)
    tokens = sum(used["prompt_tokens"] + used["completion_tokens"] for used in synthesizer.prediction_.usage.values())
    return table, {"seconds": round(time.monotonic() - started, 1), "tokens": tokens}


def results(name: str, n_real: int, draw: int, settings: dict[str, Any]) -> dict[str, Any]:
    dataset = load_dataset(name)
    whole = TableTask(dataset.frame, TABLES[name])
    real = some_real_rows(whole, n_real, draw)
    few = TableTask(real, TABLES[name], withholds=False)
    ours, took = made(few, draw, settings)
    tables: dict[str, Callable[[], pd.DataFrame]] = {"ours": lambda: ours}
    tables |= {peer: lambda peer=peer: baseline(peer, task=few, n_rows=N_ROWS, seed=draw) for peer in PEERS}
    found: dict[str, Any] = {"real": utility(whole, real)}
    for peer, make in tables.items():
        table = make()
        found[peer] = utility(whole, table)
        found[f"real+{peer}"] = utility(whole, pd.concat([real, table], ignore_index=True))
    return {column: round(value, 4) for column, value in found.items()} | took


def summary(done: pd.DataFrame) -> str:
    """Means over draws, and how often and by how much ours are ahead of each peer."""
    names = ["real", *(f"{plus}{each}" for each in ("ours", *PEERS) for plus in ("", "real+"))]
    lines = [
        "# A hundred rows from few real ones",
        "",
        "Printed by `experiments/few_rows.py`: test AUC of forests.",
        "",
    ]
    lines += [f"| table | real rows | draws | {' | '.join(names)} |", "|---" * (len(names) + 3) + "|"]
    for (table, n_real, _), some in done.groupby(["table", "real_rows", "settings"], sort=False):
        cells = [
            f"{some[name].mean():.3f} ± {1.96 * some[name].std(ddof=1) / math.sqrt(len(some)):.3f}" for name in names
        ]
        lines.append(f"| {table} | {n_real} | {len(some)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--real", nargs="+", type=int, default=[20, 40])
    parser.add_argument("--draws", nargs="+", type=int, default=list(range(6)))
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="settings that differ from the defaults, as JSON"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    done = pd.read_csv(given.out).to_dict("records") if given.out.exists() else []
    for draw in given.draws:
        for name in given.tables:
            for n_real in given.real:
                key = {"table": name, "real_rows": n_real, "draw": draw}
                key |= {"settings": json.dumps(given.settings, sort_keys=True)}
                if not any(key.items() <= each.items() for each in done):
                    done.append(key | results(name, n_real, draw, given.settings))
                    pd.DataFrame(done).to_csv(given.out, index=False)
                    print(done[-1], flush=True)
    told = summary(pd.DataFrame(done))
    given.out.with_suffix(".md").write_text(told + "\n")
    print(told)


if __name__ == "__main__":
    sys.exit(main())
