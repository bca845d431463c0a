"""Is a run that is killed at any moment resumed to the same table, and how many calls does that cost?

    uv run python experiments/kill.py [--kills 50] [--rows 200]

A run on a slow scripted model is killed (SIGKILL) at random moments of its sampling and made again on its record, until
it has been killed so often; then it may end, and its table and calls are compared with those of a run that nobody
killed. A call counts once the model has answered. One line in experiments/results/kill.csv.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results" / "kill.csv"
IN_FLIGHT = 8
LONGEST = 0.4
"""Seconds of sampling after which a run is killed at the latest: a few calls of the model below."""

RUN = f"""
import hashlib, random, sys, time
from pathlib import Path
from tagal_dspy import TagalSynthesizer, load_dataset
from tagal_dspy.modules import Ledger
from tagal_dspy.runs import RunStore
from tagal_dspy.testing import scripted_lm

folder, rows = Path(sys.argv[1]), int(sys.argv[2])
frame = load_dataset("penguins").frame.dropna()

def answer(asked):
    rng = random.Random(hashlib.sha256(repr(asked.turns).encode()).hexdigest())
    time.sleep(rng.uniform(0.2, 0.6))
    mixed = [[rng.choice(list(frame[name])) for name in frame.columns] for _ in range(4)]
    with (folder / "answered").open("a") as file:
        file.write("x")
    return {{"rows": "\\n".join(",".join(map(str, row)) for row in mixed)}}

made = TagalSynthesizer(
    scripted_lm(answer, cache=False), seed=1, critic="none", n_iter=1, rows_per_draw=4, rounds_ahead={IN_FLIGHT}
)
made.fit(frame, "species")
print("sampling", flush=True)
with RunStore(folder / "run.sqlite") as store:
    made.sample(rows, ledger=Ledger(store))
made.prediction_.table.to_csv(folder / "table.csv", index=False)
"""


def main(n_kills: int, n_rows: int, out: Path) -> int:
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as killed:
        run(Path(whole), n_rows)
        rng, times_killed = random.Random(0), 0
        while times_killed < n_kills and not (Path(killed) / "table.csv").exists():
            times_killed += not run(Path(killed), n_rows, rng.uniform(0.0, LONGEST))
        run(Path(killed), n_rows)
        tables = [(Path(folder) / "table.csv").read_bytes() for folder in (whole, killed)]
        calls = [(Path(folder) / "answered").stat().st_size for folder in (whole, killed)]
    line = {
        "rows": n_rows,
        "kills": times_killed,
        "tables_are_equal": tables[0] == tables[1],
        "calls": calls[0],
        "calls_when_killed": calls[1],
        "most_calls_allowed": calls[0] + times_killed * IN_FLIGHT,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([line]).to_csv(out, index=False)
    print(line)
    return 0 if line["tables_are_equal"] and calls[1] <= line["most_calls_allowed"] else 1


def run(folder: Path, n_rows: int, kill_after: float | None = None) -> bool:
    """Whether a run came to its end; killed so many seconds after it began to sample, it may not."""
    with subprocess.Popen([sys.executable, "-c", RUN, str(folder), str(n_rows)], stdout=subprocess.PIPE) as process:
        if process.stdout is not None:
            process.stdout.readline()
        try:
            code = process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False
    if code:
        raise SystemExit(f"the run ended with exit code {code}")
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.kills, given.rows, given.out))
