"""One line for every run of an experiment: those that stand in the file already are not made again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

TARGETS = {"thyroid": "Recurred", "travel": "ChurnOrNot", "adult": "income"}


def arguments(about: str, script: str, tables: list[str], n_seeds: int, rows: int | None = None) -> Namespace:
    parser = ArgumentParser(description=about)
    parser.add_argument("--tables", nargs="+", default=tables, help="names or files; see tagal_dspy.load_dataset")
    parser.add_argument("--seeds", type=int, default=n_seeds)
    parser.add_argument("--out", type=Path, default=Path(script).parent / "results" / f"{Path(script).stem}.csv")
    if rows is not None:
        parser.add_argument("--rows", type=int, default=rows)
    return parser.parse_args()


def recorded(given: Namespace, line: Callable[[str, int], dict[str, Any]]) -> pd.DataFrame:
    """The lines of all tables and seeds that are asked for."""
    runs = [{"table": table, "seed": seed} for table in given.tables for seed in range(given.seeds)]
    return made(runs, lambda run: line(run["table"], run["seed"]), given.out)


def made(
    runs: Sequence[dict[str, Any]],
    line: Callable[[dict[str, Any]], dict[str, Any]],
    out: Path,
    over: Callable[..., Iterable[dict[str, Any]]] = map,
) -> pd.DataFrame:
    """The lines of all runs; each is written down with what names its run as soon as it is there."""
    done = pd.read_csv(out).to_dict("records") if out.exists() else []
    out.parent.mkdir(parents=True, exist_ok=True)
    missing = [run for run in runs if not any(run.items() <= each.items() for each in done)]
    for run, found in zip(missing, over(line, missing), strict=True):
        done.append({**run, **found})
        pd.DataFrame(done).to_csv(out, index=False)
        print(done[-1], flush=True)
    return pd.DataFrame([each for each in done if any(run.items() <= each.items() for run in runs)])


def told(claims: Iterable[tuple[str, bool]]) -> int:
    """Print what holds and what does not; the exit code."""
    claims = list(claims)
    for claim, holds in claims:
        print("holds " if holds else "FAILS ", claim)
    return 0 if all(holds for _, holds in claims) else 1
