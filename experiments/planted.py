"""Do optimizers find a sentence that helps, prove that it does, and claim nothing of one that does not?

    uv run python experiments/planted.py [--seeds 100] [--optimizers gepa mipro copro simba] [--processes 2]

Model, proposals and noise are those of obedient.py; each optimizer has 200 calls: 24 to prove a gain on twelve held-out
tasks, the rest for candidates. Tried: a candidate with the sentence was scored; found: the program that came back holds
it, so that its gain was proven. One line for each seed in experiments/results/planted_seeds.csv, and one for each
optimizer and kind in planted.csv.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from lines import made, told
from obedient import PLANTED, compiled, instructions

RESULTS = Path(__file__).parent / "results" / "planted.csv"
SHARE = 0.95
"""Of the seeds, in how many an optimizer must do right."""


def line(run: dict[str, Any]) -> dict[str, Any]:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    started = time.process_time()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        found, n_calls = compiled(run["optimizer"], run["seed"], useful=run["kind"] == "useful", n_threads=1)
    tried = [
        each for each in found.lineage.candidates.values() if each.scores and PLANTED in "".join(each.prompts.values())
    ]
    return {
        "tried": bool(tried),
        "found": PLANTED in instructions(found.program),
        "significant": found.improved,
        "gain": round(found.gain.difference, 4) if found.gain is not None else 0.0,
        "calls": n_calls,
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    grouped = lines.groupby(["kind", "optimizer"], sort=False)
    return grouped.agg(
        seeds=("seed", "count"),
        tried=("tried", "sum"),
        found=("found", "sum"),
        significant=("significant", "sum"),
        mean_gain=("gain", "mean"),
        most_calls=("calls", "max"),
        mean_calls=("calls", "mean"),
        cpu_seconds=("cpu_seconds", "mean"),
    ).round(3)


def claims(results: pd.DataFrame) -> list[tuple[str, bool]]:
    claimed = []
    for (kind, optimizer), each in results.iterrows():
        n_right = each["found"] if kind == "useful" else each["seeds"] - each["significant"]
        what = "found and proven" if kind == "useful" else "no gain is claimed"
        claim = f"{optimizer}, {kind}: {what} in {n_right:.0f} of {each['seeds']:.0f}"
        claimed.append((claim, n_right >= SHARE * each["seeds"]))
    return claimed


def main(given: argparse.Namespace) -> int:
    runs = [
        {"optimizer": optimizer, "kind": kind, "seed": seed}
        for seed in range(given.seeds)
        for optimizer in given.optimizers
        for kind in ("useful", "useless")
    ]
    each_seed = given.out.with_name(f"{given.out.stem}_seeds.csv")
    with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn")) as processes:
        results = summary(made(runs, line, each_seed, processes.map))
    results.to_csv(given.out)
    print(results.to_string())
    return told(claims(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--optimizers", nargs="+", default=["gepa", "mipro", "copro", "simba"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    sys.exit(main(parser.parse_args()))
