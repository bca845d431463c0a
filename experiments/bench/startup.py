"""How long the library and the command line take to start, beside Python alone.

    python experiments/bench/startup.py

Medians of fresh processes, by turns; processor time is what the work takes on a busy machine.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scaling import table

RESULTS = Path(__file__).parents[1] / "results" / "startup.md"
N_RUNS = 7
N_ROWS = 10_000
TABLE = "{table}"
"""Stands for a file of so many rows."""

CLI = ["-m", "tagal_dspy.cli"]
COMMANDS: dict[str, tuple[list[str], float]] = {
    "python alone": (["-c", "pass"], 0.5),
    "import tagal_dspy": (["-c", "import tagal_dspy"], 0.5),
    "tagal --help": ([*CLI, "--help"], 0.5),
    "tagal with a wrong option": ([*CLI, "generate", "penguins", "--wrong"], 0.5),
    f"tagal describe, {N_ROWS:,} rows": ([*CLI, "describe", TABLE, "--target", "label"], 1.5),
    "tagal preview": ([*CLI, "preview", "penguins"], 2.0),
}
"""What is run, and the processor seconds that it may take."""


def seconds(command: list[str]) -> tuple[float, float]:
    """Of the clock and of the processor, for a fresh process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/table.csv"
        table(N_ROWS).to_csv(path, index=False)
        for _ in range(1 + N_RUNS):
            for name, (command, _) in COMMANDS.items():
                found[name].append(seconds([part.replace(TABLE, path) for part in command]))
    # The first run of each writes bytecode.
    medians = {name: [statistics.median(each) for each in zip(*runs[1:], strict=True)] for name, runs in found.items()}
    lines = ["# What starting costs", "", "Printed by `python experiments/bench/startup.py`.", ""]
    lines += [f"Median of {N_RUNS} fresh processes. {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}.", ""]
    lines += ["| | clock | processor | allowed | |", "|---|---|---|---|---|"]
    for name, (clock, processor) in medians.items():
        most = COMMANDS[name][1]
        lines.append(
            f"| {name} | {clock:.2f} s | {processor:.2f} s | {most} s | {'' if processor <= most else 'over'} |"
        )
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if all(processor <= COMMANDS[name][1] for name, (_, processor) in medians.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
