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
import time
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results" / "startup.md"
N_RUNS = 9
MOST_SECONDS = 0.5
COMMANDS = {
    "python alone": ["-c", "pass"],
    "import tagal_dspy": ["-c", "import tagal_dspy"],
    "tagal --help": ["-m", "tagal_dspy.cli", "--help"],
}


def seconds(command: list[str]) -> tuple[float, float]:
    """Of the clock and of the processor, for a fresh process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(N_RUNS):
        for name, command in COMMANDS.items():
            found[name].append(seconds(command))
    medians = {name: [statistics.median(each) for each in zip(*pairs, strict=True)] for name, pairs in found.items()}
    bare = medians["python alone"]
    lines = ["# What starting costs", "", "Printed by `python experiments/bench/startup.py`.", ""]
    lines += [f"Median of {N_RUNS} fresh processes. {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}.", ""]
    lines += ["| | clock | processor | times Python alone (processor) |", "|---|---|---|---|"]
    for name, (clock, processor) in medians.items():
        lines.append(f"| {name} | {clock:.3f} s | {processor:.3f} s | {processor / bare[1]:.1f} |")
    holds = all(processor <= MOST_SECONDS for _, processor in medians.values())
    verdict = "holds" if holds else "is broken"
    lines += ["", f"The limit of {MOST_SECONDS} s of processor time {verdict}."]
    RESULTS.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
