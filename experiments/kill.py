"""Is a run that is stopped at any moment resumed to the same table, and how many calls does that cost?

    uv run python experiments/kill.py [--kills 50] [--rows 200] [--full-disk]

A run on a slow scripted model is killed (SIGKILL) at random moments of its sampling and made again on its record, until
it has been killed so often; then it may end, and its table and calls are compared with those of a run that nobody
killed. With --full-disk its record is on a small disk (a tmpfs, which root may mount) that is full from such a moment
on: the run must end by itself, and say so; then there is room again. A call counts once the model has answered. One
line for each way to stop in experiments/results/kill.csv.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

Stop = Callable[[subprocess.Popen[str], Path], bool]
"""Stops a run whose record is on a disk; whether it came to its end all the same."""

RESULTS = Path(__file__).parent / "results" / "kill.csv"
IN_FLIGHT = 8
DISK_KB = 4096
"""Room for the record of a run."""

LONGEST = 0.4
"""Seconds of sampling after which a run is killed at the latest: a few calls of the model below."""

RUN = f"""
import hashlib, random, sys, time
from pathlib import Path
from tagal_dspy import TagalSynthesizer, load_dataset
from tagal_dspy.recording import Recorder
from tagal_dspy.recording import RunStore
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
with RunStore(folder / "disk" / "run.sqlite") as store:
    made.sample(rows, recorder=Recorder(store))
made.prediction_.table.to_csv(folder / "table.csv", index=False)
"""


def main(n_kills: int, n_rows: int, full_disk: bool, out: Path) -> int:
    stop, prepare = (fill_up, mount) if full_disk else (kill, None)
    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as stopped:
        for folder in (whole, stopped):
            (Path(folder) / "disk").mkdir()
        if prepare is not None and not prepare(Path(stopped) / "disk"):
            print("left out: no disk can be mounted here, which takes root")
            return 0
        try:
            line = compared(Path(whole), Path(stopped), n_kills, n_rows, stop)
        finally:
            if prepare is not None:
                subprocess.run(["umount", Path(stopped) / "disk"], check=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    before = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=["stopped_by"])
    others = before[before["stopped_by"] != line["stopped_by"]]
    pd.concat([others, pd.DataFrame([line])] if len(others) else [pd.DataFrame([line])]).to_csv(out, index=False)
    print(line)
    return 0 if line["tables_are_equal"] and line["calls_when_stopped"] <= line["most_calls_allowed"] else 1


def compared(whole: Path, stopped: Path, n_kills: int, n_rows: int, stop: Stop) -> dict[str, Any]:
    run(whole, n_rows)
    rng, n_stopped = random.Random(0), 0
    while n_stopped < n_kills and not (stopped / "table.csv").exists():
        n_stopped += not run(stopped, n_rows, rng.uniform(0.0, LONGEST), stop)
    run(stopped, n_rows)
    tables = [(folder / "table.csv").read_bytes() for folder in (whole, stopped)]
    calls = [(folder / "answered").stat().st_size for folder in (whole, stopped)]
    return {
        "stopped_by": stop.__name__,
        "rows": n_rows,
        "stops": n_stopped,
        "tables_are_equal": tables[0] == tables[1],
        "calls": calls[0],
        "calls_when_stopped": calls[1],
        "most_calls_allowed": calls[0] + n_stopped * IN_FLIGHT,
    }


def run(folder: Path, n_rows: int, after: float | None = None, stop: Stop | None = None) -> bool:
    """Whether a run came to its end; stopped so many seconds after it began to sample, it may not."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(folder), str(n_rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if process.stdout is not None:
            process.stdout.readline()
        try:
            code = process.wait(after)
        except subprocess.TimeoutExpired:
            return stop is not None and stop(process, folder / "disk")
        if code:
            raise SystemExit(f"the run ended with exit code {code}: {process.communicate()[1]}")
    return True


def kill(process: subprocess.Popen[str], disk: Path) -> bool:
    process.send_signal(signal.SIGKILL)
    process.wait()
    return False


def fill_up(process: subprocess.Popen[str], disk: Path) -> bool:
    """Leave no byte until the run ends, and make room again; whether it came to its end all the same."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 512):
            pass
    said = process.communicate()[1]
    filler.unlink()
    if process.returncode and "OutputError" not in said:
        raise SystemExit(f"the run ended without saying that the disk is full: {said}")
    return process.returncode == 0


def mount(disk: Path) -> bool:
    """A small disk in a folder, where this may be done."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", disk]
    return bool(shutil.which("mount")) and not subprocess.run(command, capture_output=True, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--full-disk", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.kills, given.rows, given.full_disk, given.out))
