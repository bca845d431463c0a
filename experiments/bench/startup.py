"""How long the library and the command line take to start and to answer, beside Python alone.

    python experiments/bench/startup.py

Medians of fresh processes, by turns; processor time is what the work takes on a busy machine. Runs are recorded in a
folder of their own; models, and floors and ceilings of evaluations, are those of the user's cache unless told
otherwise.
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
N_ROWS, N_JUDGED = 10_000, 1_000
FOLDER = "{folder}"
"""Stands for a folder of this benchmark: `table.csv` has `N_ROWS`, `real.csv` and `synthetic.csv` have `N_JUDGED`."""

TO_FIRST_CALL = "import os; from tagal_dspy.engines import LocalEngine; LocalEngine.complete = lambda *_: os._exit(0)"
NOTHING_KEPT = f"import os, tempfile; os.environ['TAGAL_CACHE_DIR'] = tempfile.mkdtemp(dir='{FOLDER}')"


def tagal(*arguments: str, after: str = "") -> list[str]:
    """The command line, after a line of Python."""
    return ["-c", f"{after}\nimport sys\nfrom tagal_dspy.cli import main\nsys.argv[1:] = {arguments}\nmain()"]


GENERATE = ("generate", "penguins", "--rows", "1", "--no-cache")
EVALUATE = ("evaluate", "--real", f"{FOLDER}/real.csv", "--synthetic", f"{FOLDER}/synthetic.csv", "--target", "label")
COMMANDS: dict[str, tuple[list[str], float]] = {
    "python alone": (["-c", "pass"], 0.5),
    "import tagal_dspy": (["-c", "import tagal_dspy"], 0.5),
    "tagal --help": (tagal("--help"), 0.5),
    "tagal with a wrong option": (tagal("generate", "penguins", "--wrong"), 0.5),
    f"tagal describe, {N_ROWS:,} rows": (tagal("describe", f"{FOLDER}/table.csv", "--target", "label"), 1.5),
    "tagal preview": (tagal("preview", "penguins"), 2.0),
    "tagal generate, to the first call of the model": (tagal(*GENERATE, after=TO_FIRST_CALL), 3.0),
    "tagal generate, a row": (tagal(*GENERATE), 4.0),
    f"tagal evaluate, {N_JUDGED:,} rows, floor and ceiling known": (tagal(*EVALUATE), 5.0),
    f"tagal evaluate, {N_JUDGED:,} rows, nothing known": (tagal(*EVALUATE, after=NOTHING_KEPT), 20.0),
}
"""What is run, and the processor seconds that it may take."""


def seconds(command: list[str], folder: str) -> tuple[float, float]:
    """Of the clock and of the processor, for a fresh process."""
    command = [sys.executable, *(part.replace(FOLDER, folder) for part in command)]
    own = {**os.environ, "XDG_DATA_HOME": folder}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        table(N_ROWS).to_csv(f"{folder}/table.csv", index=False)
        for seed, name in enumerate(("real", "synthetic")):
            table(N_JUDGED, seed).to_csv(f"{folder}/{name}.csv", index=False)
        for _ in range(1 + N_RUNS):
            for name, (command, _) in COMMANDS.items():
                found[name].append(seconds(command, folder))
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
