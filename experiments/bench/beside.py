"""How runs on the embedded model share a machine: alone, two beside each other, and one that begins on busy cores.

    TAGAL_DATA_DIR=... python experiments/bench/beside.py [--rows 80]

Rows a second of thyroid with default settings, but without overdraw; each run is a process of its own that has written
one row before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "beside.md"
LEAST_BESIDE = 0.4
"""Of its rows a second alone, what each of two runs keeps."""

BUSY_SECONDS = 20

RUN = """
import sys, time
import pandas as pd
from tagal_dspy import TagalSynthesizer, make_lm
synthesizer = TagalSynthesizer(make_lm("local", cache=False), overdraw=1.0).fit(pd.read_csv(sys.argv[1]), "Recurred")
synthesizer.sample(1)
print("ready", flush=True)
input()
start = time.perf_counter()
synthesizer.sample(int(sys.argv[2]))
print(int(sys.argv[2]) / (time.perf_counter() - start))
"""
BUSY = f"import time\nend = time.time() + {BUSY_SECONDS}\nwhile time.time() < end: pass"


def rows_a_second(n_runs: int, n_rows: int, n_busy: int = 0) -> list[float]:
    """Of runs that start at once, with so many cores busy from before they are ready."""
    path = str(Path(os.environ["TAGAL_DATA_DIR"]) / "thyroid.csv")
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n_busy)]
    command = [sys.executable, "-c", RUN, path, str(n_rows)]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(n_runs)]
    for run in runs:
        assert run.stdout is not None
        run.stdout.readline()
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    rates = [float(run.communicate()[0]) for run in runs]
    for each in busy:
        each.wait()
    return rates


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=80)
    n_rows = parser.parse_args(arguments).rows
    load = os.getloadavg()[0]
    [alone] = rows_a_second(1, n_rows)
    beside = rows_a_second(2, n_rows)
    [begun_busy] = rows_a_second(1, n_rows, n_busy=os.cpu_count() or 1)
    lines = [
        "# Runs that share a machine",
        "",
        f"Printed by `experiments/bench/beside.py`, {n_rows} rows of thyroid.",
        f"{os.cpu_count()} cores, load average before: {load:.1f}.",
        "",
        "| | rows/s | of alone |",
        "|---|---|---|",
        f"| alone | {alone:.2f} | 1 |",
        *(f"| one of two | {rate:.2f} | {rate / alone:.2f} |" for rate in beside),
        f"| begun while all cores are busy for {BUSY_SECONDS} s | {begun_busy:.2f} | {begun_busy / alone:.2f} |",
    ]
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if min(beside) >= LEAST_BESIDE * alone else 1


if __name__ == "__main__":
    sys.exit(main())
