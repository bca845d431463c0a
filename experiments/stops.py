"""Does a run that ends at any moment keep all that was paid for, and is it resumed to the same table?

    uv run python experiments/stops.py [--quick] [--only NUMBER ...] [--workers 2]

Runs of `tagal generate` (28) and `tagal optimize` (2) on a loopback server end at random moments, in four ways: the
server begins to refuse or to fail, Ctrl-C (SIGINT), SIGTERM, SIGKILL. After each end but a SIGKILL, every request that
the server answered must be in the run's file, the accepted rows must be in the output file, and standard error must
name the command that resumes the run. The run is then resumed until it is finished: the server must not be asked again
for what is recorded, and the table (or the program) must equal that of an uninterrupted run byte by byte. Answers
depend on the content of a request alone. Each stop is a line in experiments/results/stops.csv.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from commands import finish, last_line, run, start, take_signals
from counting_server import Case, Log, counting_server, shoppers_csv
from lines import told

from tagal_dspy.errors import TagalError
from tagal_dspy.recording import load_run

RESULTS = Path(__file__).parent / "results" / "stops.csv"
SEED = 0
N_GENERATE = 28
QUICK = (0, 1, 2, 3, N_GENERATE)
SECONDS = (0.05, 0.25)
"""Shortest and longest delay of an answer."""
CONCURRENCY = 8
MARGIN = 12
"""Calls that an uninterrupted run still makes after the latest moment: more than while a stop takes effect."""
MAX_RESUMES = 3
SETTINGS = """
n_iter = 2
n_shots = 3
rows_per_draw = 8
critic = "grounded"
"""
JOBS = {
    "synth-loop": ("--target", "buys", "--rows", 150),
    # Draws of one conversation with the same number of rows are the same request, and would have the same answer here.
    # Each class has a conversation of its own and needs two draws of different numbers of rows.
    "reduced-loop": ("--target", "city", "--rows", 90, "--balance", "--config", "by_class.toml"),
    "prompt-refine": ("--target", "buys", "--rows", 240),
}
OPTIMIZE = ("--rows", 8, "--iterations", 1, "--critic", "none", "--shots", 2, "--tasks", 2, 2, 6, "--budget", "60calls")
VARYING = ("usage", "cost")
"""Parts of a program's lineage that count tables which the budget cut short; which ones were paid for varies."""

Stop = Callable[[subprocess.Popen[str], Case], None]


def failing(status: int) -> Stop:
    return lambda process, case: case.behave(status=status)


def sent(number: signal.Signals) -> Stop:
    return lambda process, case: process.send_signal(number)


WAYS: dict[str, tuple[Stop, ...]] = {
    "error": tuple(map(failing, (401, 402, 404, 500))),
    "SIGINT": (sent(signal.SIGINT),),
    "SIGTERM": (sent(signal.SIGTERM),),
    "SIGKILL": (sent(signal.SIGKILL),),
}
"""How a run is ended; the n-th run that is ended in a way takes the n-th form of it, in turn."""


class Ending(NamedTuple):
    """One end of a run.

    Attributes:
        number: names the run.
        job: a method of `tagal generate`, or `optimize`.
        way: a key of `WAYS`.
    """

    number: int
    job: str
    way: str


def endings() -> list[Ending]:
    """All of them: every method with every way, in turn, and two compilations."""
    methods, ways = list(JOBS), list(WAYS)
    generated = [Ending(i, methods[i % len(methods)], ways[i % len(ways)]) for i in range(N_GENERATE)]
    return [*generated, Ending(N_GENERATE, "optimize", "SIGINT"), Ending(N_GENERATE + 1, "optimize", "SIGTERM")]


class Whole(NamedTuple):
    """A run that nothing ended: what it wrote, and the requests it made."""

    result: str
    asked: Counter[str]


class Files(NamedTuple):
    """The folder of one run."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run.sqlite"

    def out(self, job: str) -> Path:
        return self.folder / ("program.json" if job == "optimize" else "new.csv")

    def result(self, job: str) -> str:
        """What the run wrote, as it is compared; empty where it wrote nothing."""
        path = self.out(job)
        if not path.exists():
            return ""
        if job != "optimize":
            return path.read_bytes().decode()
        state = json.loads(path.read_text(encoding="utf-8"))
        for name in VARYING:
            state["lineage"].pop(name, None)
        return json.dumps(state, sort_keys=True)


@contextmanager
def files() -> Iterator[Files]:
    with tempfile.TemporaryDirectory(prefix="tagal-stops-") as name:
        folder = Path(name)
        (folder / "shop.csv").write_text(shoppers_csv())
        (folder / "settings.toml").write_text(SETTINGS)
        (folder / "by_class.toml").write_text(f'{SETTINGS}draws = "by-class"\n')
        yield Files(folder)


def command(job: str, case: Case, to: Files) -> list[Any]:
    """The arguments of `tagal` that begin a run."""
    lm = ("--lm", "openai/fake", "--api-base", case.address)
    kept = ("--run", to.run.name, "--out", to.out(job).name)
    if job == "optimize":
        return ["optimize", "shop.csv", *OPTIMIZE, *lm, *kept]
    config = () if "--config" in JOBS[job] else ("--config", "settings.toml")
    asked = ("--method", job, *JOBS[job], *config, "--concurrency", CONCURRENCY, "--no-cache")
    return ["generate", "shop.csv", *asked, *lm, *kept]


def whole_run(port: int, job: str) -> Whole:
    case = Case(port, f"whole-{job}", seconds=SECONDS)
    with files() as to:
        code, err = run(to.folder, *command(job, case, to))
        if code:
            raise SystemExit(f"the uninterrupted run of {job} ended with exit code {code}: {err[-2000:]}")
        return Whole(to.result(job), Counter(case.log().arrived))


def line(port: int, ending: Ending, whole: Whole) -> dict[str, Any]:
    """End a run, look at what it left, and resume it."""
    case = Case(port, f"run-{ending.number}", seconds=SECONDS)
    rng = random.Random(f"{SEED}/{ending.number}")
    moment = rng.randint(1, max(1, whole.asked.total() - MARGIN))
    with files() as to:
        process = start(to.folder, *command(ending.job, case, to))
        wait_for(lambda: len(case.log().answered) >= moment or process.poll() is not None)
        time.sleep(rng.uniform(0, SECONDS[0]))
        forms = WAYS[ending.way]
        forms[ending.number // len(WAYS) % len(forms)](process, case)
        began = time.monotonic()
        code, err = finish(process)
        seconds = time.monotonic() - began
        wait_for(lambda: case.log().n_open == 0)
        before = case.log()
        left = what_is_left(ending, before, to, err)
        case.behave(status=None)
        n_resumes, last_code, last_err = resumed(ending, command(ending.job, case, to), to, err)
        after = case.log().arrived[len(before.arrived) :]
        return {
            **ending._asdict(),
            "ended_after": moment,
            "exit_code": code,
            "seconds_to_end": round(seconds, 1),
            **left,
            "resumes": n_resumes,
            "exit_code_resumed": last_code,
            "asked_when_resumed": len(after),
            "asked_again": asked_again(before.answered, after, whole.asked),
            "same_result": to.result(ending.job) == whole.result,
            "last_line": last_line(err),
            "last_line_resumed": last_line(last_err) if last_code else "",
        }


def what_is_left(ending: Ending, log: Log, to: Files, err: str) -> dict[str, Any]:
    """What a run left: calls in its record and at the server, rows in its record and its output."""
    try:
        record = load_run(to.run)
    except TagalError:  # ended before its file was there
        record = None
    n_recorded, n_rows = (record.n_calls, len(record.rows)) if record else (0, 0)
    n_missing = 0
    if ending.job != "optimize" and record is not None and n_rows:
        n_missing = len(set(lines_of(record.table.to_csv(index=False))) - set(lines_of(to.result(ending.job))))
    return {
        "requests": len(log.arrived),
        "answered": len(log.answered),
        "recorded": n_recorded,
        "rows_recorded": n_rows,
        "rows_missing_in_file": n_missing,
        "names_resume": resume_name(err) is not None or (ending.job == "optimize" and "same command" in err),
    }


def lines_of(text: str) -> list[tuple[Any, ...]]:
    """The rows of a CSV text; equal numbers are equal however they are written."""
    return list(pd.read_csv(StringIO(text)).itertuples(index=False, name=None)) if text else []


def resumed(ending: Ending, again: list[Any], to: Files, err: str) -> tuple[int, int, str]:
    """Resume a run until it is finished: by the command that it named, or by its file. A compilation that names none
    is resumed by the same command.

    Returns:
        How often it was resumed, the last exit code, and what was last written on standard error.
    """
    name = resume_name(err) or to.run.name
    resume = ["runs", "resume", name]
    if ending.job == "optimize" and resume_name(err) is None:
        resume = again
    n_resumes, code, last_err = 0, -1, ""
    while code and n_resumes < MAX_RESUMES:
        code, last_err = run(to.folder, *resume)
        n_resumes += 1
    return n_resumes, code, last_err


def resume_name(err: str) -> str | None:
    """The run in the resume command on standard error."""
    command = re.search(r"tagal runs resume (.+)", err)
    return shlex.split(command[1])[0] if command else None


def asked_again(answered: list[str], after: list[str], whole: Counter[str]) -> int:
    """Requests of the resumed run that were answered before; what a whole run asks n times may come n times."""
    both = Counter(answered) + Counter(after)
    again = Counter(answered).keys() & set(after)
    return sum(max(0, both[digest] - max(1, whole[digest])) for digest in again)


def wait_for(happened: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.02)


def claims(lines: pd.DataFrame) -> list[tuple[str, bool]]:
    graceful, killed = lines[lines["way"] != "SIGKILL"], lines[lines["way"] == "SIGKILL"]
    allowed = lines["answered"] - lines["recorded"]
    checks = [
        ("every answered request is recorded", graceful, graceful["answered"] == graceful["recorded"]),
        ("the accepted rows are in the output file", graceful, graceful["rows_missing_in_file"] == 0),
        ("standard error names the command that resumes", graceful, graceful["names_resume"]),
        ("the exit code says that the run did not finish", lines, lines["exit_code"] != 0),
        ("no more is recorded than was answered", killed, killed["recorded"] <= killed["answered"]),
        ("the resumed run finishes", lines, lines["exit_code_resumed"] == 0),
        ("nothing that is recorded is asked again", lines, lines["asked_again"] <= allowed),
        ("the result is that of an uninterrupted run", lines, lines["same_result"]),
    ]
    return [
        (f"{way}: {claim} ({held.sum()} of {len(held)})", bool(held.all()))
        for claim, subset, holds in checks
        for way, held in holds.groupby(subset["way"], sort=False)
    ]


def main(given: argparse.Namespace) -> int:
    take_signals()
    chosen = [ending for ending in endings() if given.only is None or ending.number in given.only]
    if given.quick:
        chosen = [ending for ending in chosen if ending.number in QUICK]
    with counting_server() as port, ThreadPoolExecutor(given.workers) as threads:
        jobs = list(dict.fromkeys(ending.job for ending in chosen))
        wholes = dict(zip(jobs, threads.map(lambda job: whole_run(port, job), jobs), strict=True))
        lines = []
        for result in threads.map(lambda ending: line(port, ending, wholes[ending.job]), chosen):
            lines.append(result)
            print(result, flush=True)
            if given.out is not None:
                given.out.parent.mkdir(parents=True, exist_ok=True)
                pd.DataFrame(lines).to_csv(given.out, index=False)
    frame = pd.DataFrame(lines)
    graceful = frame[frame["way"] != "SIGKILL"]
    n_dropped = (graceful["requests"] - graceful["answered"]).sum()
    print(f"{len(graceful)} graceful ends dropped {n_dropped} requests unanswered; a provider may charge for them")
    return told(claims(frame))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="five of the stops; writes no results unless told --out")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of stops; writes no results unless told --out")
    parser.add_argument("--workers", type=int, default=2, help="stops at once")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.out is None and not asked.quick and asked.only is None:
        asked.out = RESULTS
    sys.exit(main(asked))
