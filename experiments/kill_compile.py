"""Is a compilation that is killed at any moment resumed to the same program, and how many calls does that cost?

    uv run python experiments/kill_compile.py [--kills 10] [--calls 200] [--optimizers gepa mipro copro simba]

A compilation on the slow obedient model is killed (SIGKILL) when a random number of calls were answered, the first time
soon, the last time shortly before its end, and made again on its record each time; then its program and its calls
are compared with those of a compilation that nobody killed. Another one has 100 calls and 16 threads. One line for each
optimizer in experiments/results/kill_compile.csv.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from lines import told

RESULTS = Path(__file__).parent / "results" / "kill_compile.csv"
IN_FLIGHT = 4
SMALL, THREADS = 100, 16
"""A budget of calls, and threads that may not exceed it."""

RUN = """
import json, sqlite3, sys, time
from pathlib import Path
from obedient import compiled, obedient_lm, proposer, writer
from tagal_dspy.recording import RunStore
from tagal_dspy.settings import Budget

folder, optimizer, n_calls, n_threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
record = folder / "run.sqlite"
answered = []
if record.exists():
    answered = [text for (text,) in sqlite3.connect(record).execute("SELECT answer FROM calls")]

def counted(answer):
    def answering(asked):
        said = answer(asked)
        with (folder / "answered").open("a") as file:
            file.write("x")
        return said
    return answering

def slow(asked):
    time.sleep(0.05)
    return writer(asked)

with RunStore(record) as store:
    found, _ = compiled(
        optimizer, seed=1, store=store, n_threads=n_threads, budget=Budget(max_calls=n_calls),
        lm=obedient_lm(counted(slow)), reflection_lm=proposer(1, answered, counted),
    )
state = found.program.dump_state()
for paid in ("usage", "cost"):  # of the tables of a candidate that the budget cut short, which ones were paid varies
    state["lineage"].pop(paid)
(folder / "program.json").write_text(json.dumps(state, default=str, sort_keys=True))
"""


def line(optimizer: str, n_kills: int, n_calls: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as killed:
        run(Path(whole), optimizer, n_calls)
        calls = n_answered(Path(whole))
        rng = random.Random(optimizer)
        for moment in sorted(rng.sample(range(1, calls), n_kills)):
            run(Path(killed), optimizer, n_calls, kill_at=moment)
        run(Path(killed), optimizer, n_calls)
        programs = [(Path(folder) / "program.json").read_text() for folder in (whole, killed)]
        calls_when_killed = n_answered(Path(killed))
    with tempfile.TemporaryDirectory() as small:
        run(Path(small), optimizer, SMALL, THREADS)
        calls_of_small = n_answered(Path(small))
    return {
        "optimizer": optimizer,
        "kills": n_kills,
        "programs_are_equal": programs[0] == programs[1],
        "calls": calls,
        "calls_when_killed": calls_when_killed,
        "most_calls_allowed": calls + n_kills * IN_FLIGHT,
        f"calls_of_{SMALL}_at_{THREADS}_threads": calls_of_small,
    }


def run(folder: Path, optimizer: str, n_calls: int, n_threads: int = IN_FLIGHT, *, kill_at: int | None = None) -> None:
    """Compile, until so many calls are answered where a number is given."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, folder, optimizer, str(n_calls), str(n_threads)]
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if kill_at is None else subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parent,
    ) as process:
        if kill_at is None:
            _, said = process.communicate()
            if process.returncode:
                raise SystemExit(f"the compilation ended with exit code {process.returncode}: {said[-3000:]}")
            return
        while n_answered(folder) < kill_at and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)


def n_answered(folder: Path) -> int:
    answered = folder / "answered"
    return answered.stat().st_size if answered.exists() else 0


def main(given: argparse.Namespace) -> int:
    lines = [line(optimizer, given.kills, given.calls) for optimizer in given.optimizers]
    pd.DataFrame(lines).to_csv(given.out, index=False)
    print(pd.DataFrame(lines).to_string(index=False))
    return told(
        claim
        for each in lines
        for claim in [
            (f"{each['optimizer']}: the same program after {each['kills']} kills", each["programs_are_equal"]),
            (f"{each['optimizer']}: nothing is paid twice", each["calls_when_killed"] <= each["most_calls_allowed"]),
            (f"{each['optimizer']}: keeps to {SMALL} calls", each[f"calls_of_{SMALL}_at_{THREADS}_threads"] <= SMALL),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--optimizers", nargs="+", default=["gepa", "mipro", "copro", "simba"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    sys.exit(main(parser.parse_args()))
