"""Rows a second on the embedded model, beside another commit, pair by pair.

    git worktree add ../other d72b5ff
    TAGAL_DATA_DIR=... python experiments/bench/against.py ../other [--rows 60] [--pairs 1]

Both generate the same table with default settings and the same seed, by turns, each in a process of its own that has
written one row before; the packages are those of this environment. Ours accepts no more rows than are wanted
(`overdraw = 1`), as the other commit does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "against.md"
HERE = Path(__file__).parents[2]
TARGETS = {"thyroid": "Recurred", "adult": "income", "travel": "ChurnOrNot", "penguins": "species"}
LEAST = 2.5

RUN = """
import json, sys, time
import pandas as pd
from tagal_dspy import TagalSynthesizer, make_lm
path, target, n_rows, seed, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
lm = make_lm("local", cache=False)
synthesizer = TagalSynthesizer(lm, seed=seed, **json.loads(settings)).fit(pd.read_csv(path), target)
synthesizer.sample(1)
start = time.perf_counter()
assert len(synthesizer.sample(n_rows)) == n_rows
seconds = time.perf_counter() - start
used = synthesizer.prediction_.usage
used = used if isinstance(used, dict) else used.model_dump()
[tokens] = [each["prompt_tokens"] + each["completion_tokens"] for each in used.values()]
print(json.dumps({"rows": n_rows / seconds, "tokens": tokens / n_rows}))
"""


def measured(checkout: Path, path: str, target: str, n_rows: int, seed: int, **settings: Any) -> dict[str, float]:
    command = [sys.executable, "-c", RUN, path, target, str(n_rows), str(seed), json.dumps(settings)]
    shown = subprocess.run(
        command,
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: dict[str, float] = json.loads(shown.splitlines()[-1])
    return found


def commit_of(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def path_of(name: str, folder: str) -> str:
    if name != "penguins":
        return str(Path(os.environ["TAGAL_DATA_DIR"]).resolve() / f"{name}.csv")
    from tagal_dspy import load_dataset

    load_dataset(name).frame.to_csv(f"{folder}/penguins.csv", index=False)
    return f"{folder}/penguins.csv"


def line(name: str, seed: int, other: dict[str, float], ours: dict[str, float]) -> str:
    cells: list[Any] = [name, seed]
    cells += [f"{other['rows']:.2f}", f"{ours['rows']:.2f}", f"**{ours['rows'] / other['rows']:.2f}**"]
    return f"| {' | '.join(map(str, [*cells, round(other['tokens']), round(ours['tokens'])]))} |"


def main(checkout: Path, tables: list[str], n_rows: int, n_pairs: int, out: Path) -> int:
    lines = [
        f"# Rows a second, beside {commit_of(checkout)}",
        "",
        f"Printed by `experiments/bench/against.py`, {n_rows} rows.",
    ]
    lines += [f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}.", ""]
    lines += ["| table | seed | rows/s there | rows/s here | times | tokens a row there | here |", "|---" * 7 + "|"]
    is_enough = True
    with tempfile.TemporaryDirectory() as folder:
        for name in tables:
            for seed in range(n_pairs):
                place = (path_of(name, folder), TARGETS[name], n_rows, seed)
                other, ours = measured(checkout.resolve(), *place), measured(HERE, *place, overdraw=1.0)
                lines.append(line(name, seed, other, ours))
                is_enough &= ours["rows"] >= LEAST * other["rows"]
                out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if is_enough else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--tables", nargs="+", default=list(TARGETS))
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.checkout, given.tables, given.rows, given.pairs, given.out))
