"""Does a budget hold, whatever a server says of tokens, and how many rows does it buy?

    uv run python experiments/budgets.py [--quick] [--parts calls tokens rows commands] [--workers 2]

Runs on a loopback server that counts the requests it gets. The parts:

- calls: `max_calls` is never exceeded, by threads and asyncio, for each method and preset, at 1, 7 and 64 calls at
  once, whether the server gives token counts as numbers, leaves them out, or sends null, text or negative numbers;
- tokens: `max_tokens` and `max_cost` are exceeded by no more than the calls at once times the largest call;
- rows: `tagal generate` with a grounded critic turns at least 70 % of its calls into finished conversations;
- commands: `tagal optimize` and `tagal study run` never exceed a budget of calls.

Each run is a line in experiments/results/budgets.csv.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import dspy
import pandas as pd
from commands import last_line, run
from counting_server import USAGES, Case, Log, counting_server, shoppers_csv
from lines import told

from tagal_dspy import Budget, Recorder, TagalError, TagalSynthesizer, make_lm
from tagal_dspy.engines import count_tokens
from tagal_dspy.errors import BudgetError
from tagal_dspy.recording import load_run

RESULTS = Path(__file__).parent / "results" / "budgets.csv"
PARTS = ("calls", "tokens", "rows", "commands")
METHODS = ("synth-loop", "reduced-loop", "prompt-refine")
PRESETS = ("grounded", "paper")
AT_ONCE = (1, 7, 64)
MAX_CALLS = (5, 20)
TOKEN_LIMITS: tuple[dict[str, float], ...] = (
    {"max_tokens": 1_000},
    {"max_tokens": 20_000},
    {"max_cost": 0.001},
    {"max_cost": 0.02},
)
PRICE = (1e-6, 2e-6)
"""Of a prompt token and a completion token."""
N_WANTED = 1_000
"""Rows, more than any of the budgets of the library's part pays for."""
NUM_RETRIES = 2
"""A server whose token counts cannot be read must not be taken for one that fails; if it is, a run ends soon."""

ROW_BUDGETS = (60, 100, 150, 250, 400)
ROWS_WANTED, ROWS_PER_DRAW = 3_000, 20
LEAST_SHARE = 0.7
CALLS_OF_CONVERSATION = 5
"""Three draws and two critiques, where no record holds a finished conversation."""

COMMAND_CALLS = 60
SPACE = """
rows = 12
preset = "grounded"
critic = "none"
n_iter = 1
rows_per_draw = 4

[bounds]
n_shots = [2, 6]
temperature = [0.5, 1.0]

[study]
seeds = [0, 1, 2]
"""
# Neither command names a target: scores without classifiers take a fraction of the time.
COMMANDS: dict[str, tuple[Any, ...]] = {
    "optimize": (
        *("optimize", "shop.csv", "--rows", 8, "--iterations", 1, "--critic", "none", "--shots", 2),
        *("--tasks", 2, 2, 6, "--budget", f"{COMMAND_CALLS}calls"),
    ),
    "study": (
        *("study", "run", "shop.csv", "--name", "shop", "--storage", "study.journal", "--config", "space.toml"),
        *("--trials", 40, "--max-calls", COMMAND_CALLS),
    ),
}

Line = dict[str, Any]


def library_cases(part: str, quick: bool) -> list[Line]:
    """The runs of a part that uses the library."""
    if part == "calls":
        budgets: Iterable[dict[str, float]] = [{"max_calls": n} for n in MAX_CALLS]
        choices: tuple[Iterable[Any], ...] = (DRIVERS, PRESETS, METHODS, USAGES, AT_ONCE)
    else:
        budgets = TOKEN_LIMITS
        choices = (DRIVERS, PRESETS[:1], METHODS[:1], ("numbers", "none", "negative"), AT_ONCE)
    names = ("driver", "preset", "method", "usage", "at_once")
    cases = [
        {"part": part, **budget, **dict(zip(names, chosen, strict=True))}
        for budget, chosen in itertools.product(budgets, itertools.product(*choices))
    ]
    return [case for case in cases if not quick or _is_quick(case)]


def _is_quick(case: Line) -> bool:
    return case["at_once"] == AT_ONCE[-1] and case["usage"] in ("numbers", "none") and case.get("max_calls", 5) == 5


@cache
def shoppers_frame() -> pd.DataFrame:
    return pd.read_csv(StringIO(shoppers_csv()))


def by_threads(synthesizer: TagalSynthesizer, recorder: Recorder) -> int:
    return len(synthesizer.sample(N_WANTED, recorder=recorder))


def by_asyncio(synthesizer: TagalSynthesizer, recorder: Recorder) -> int:
    async def rows() -> int:
        program, task = synthesizer.program_, synthesizer.task_
        with dspy.context(lm=synthesizer.lm_):
            prediction = await program.acall(task=task, n_rows=N_WANTED, seed=synthesizer.seed, recorder=recorder)
        return len(prediction.table)

    return asyncio.run(rows())


DRIVERS: dict[str, Callable[[TagalSynthesizer, Recorder], int]] = {"threads": by_threads, "asyncio": by_asyncio}


def library_run(port: int, number: int, case: Line) -> Line:
    """One run with a budget."""
    keeps_texts = case["part"] == "tokens" and case["usage"] != "numbers"
    server = Case(port, f"library-{number}", usage=case["usage"], counted=True, keeps_texts=keeps_texts)
    lm = make_lm(
        "openai/fake", api_base=server.address, cache=False, concurrency=case["at_once"], num_retries=NUM_RETRIES
    )
    budget = Budget(**{name: limit for name, limit in case.items() if name.startswith("max_")})
    recorder = Recorder(budget=budget, price=lambda model, n_in, n_out: n_in * PRICE[0] + n_out * PRICE[1])
    synthesizer = TagalSynthesizer(lm, preset=case["preset"], method=case["method"], seed=number)
    synthesizer.fit(shoppers_frame(), "buys")
    began, problem = time.monotonic(), ""
    try:
        n_rows = DRIVERS[case["driver"]](synthesizer, recorder)
        ended = "finished"
    except BudgetError as error:
        n_rows, ended = len(error.prediction.table) if error.prediction is not None else 0, "budget"
    except Exception as error:  # an error of any kind is a result of this run
        n_rows, ended, problem = 0, type(error).__name__, " ".join(str(error).split())[:200]
    counted = {"ended": ended, "rows": n_rows, "seconds": round(time.monotonic() - began, 2), "problem": problem}
    return {**case, **counted, **of_recorder(recorder), **of_server(settled(server))}


def of_recorder(recorder: Recorder) -> Line:
    """What the library counted."""
    models = list(recorder.usage.values())
    tokens = sum(used["prompt_tokens"] + used["completion_tokens"] for used in models)
    return {"calls_counted": sum(used["calls"] for used in models), "tokens_counted": tokens}


def of_server(log: Log) -> Line:
    """What the server counted; tokens by the library's tokenizer where the texts are kept."""
    sizes = [(count_tokens(prompt), count_tokens(answer)) for prompt, answer in log.texts] or log.sizes
    costs = [n_in * PRICE[0] + n_out * PRICE[1] for n_in, n_out in sizes]
    return {
        "requests": len(log.arrived),
        "most_at_once": log.most_open,
        "tokens": sum(map(sum, sizes)),
        "largest_tokens": max(map(sum, sizes), default=0),
        "cost": round(sum(costs), 6),
        "largest_cost": round(max(costs, default=0.0), 6),
    }


def settled(server: Case) -> Log:
    """The log, once nothing is being answered."""
    end = time.monotonic() + 5
    while (log := server.log()).n_open and time.monotonic() < end:
        time.sleep(0.05)
    return log


def rows_run(port: int, max_calls: int) -> Line:
    """One run of `tagal generate`, and what its record says of conversations."""
    server = Case(port, f"rows-{max_calls}", counted=True)
    with tempfile.TemporaryDirectory(prefix="tagal-budgets-") as name:
        folder = Path(name)
        (folder / "shop.csv").write_text(shoppers_csv())
        (folder / "settings.toml").write_text(f"rows_per_draw = {ROWS_PER_DRAW}\n")
        lm = ("--lm", "openai/fake", "--api-base", server.address, "--no-cache", "--config", "settings.toml")
        asked = ("--target", "buys", "--rows", ROWS_WANTED, "--critic", "grounded", "--max-calls", max_calls)
        began = time.monotonic()
        code, err = run(folder, "generate", "shop.csv", *asked, *lm, "--run", "run.sqlite", "--out", "new.csv")
        seconds = time.monotonic() - began
        n_rows = len(pd.read_csv(folder / "new.csv")) if (folder / "new.csv").exists() else 0
        recorded = of_record(folder / "run.sqlite")
    ended = {"ended": f"exit code {code}", "rows": n_rows, "seconds": round(seconds, 2), "problem": last_line(err)}
    about = {"part": "rows", "driver": "generate", "preset": "grounded", "method": "synth-loop", "usage": "numbers"}
    return {**about, "max_calls": max_calls, **ended, **recorded, **of_server(settled(server))}


def of_record(path: Path) -> Line:
    """Calls of the finished conversations of a run, and the rows that were accepted and rejected."""
    try:
        record = load_run(path)
    except TagalError:
        return {"calls_counted": 0, "conversations": 0, "conversation_calls": 0, "accepted": 0, "rejected": 0}
    return {
        "calls_counted": record.n_calls,
        "conversations": len({turn["round"] for turn in record.turns}),
        "conversation_calls": sum(1 + bool(turn["critique"]) for turn in record.turns),
        "accepted": len(record.rows),
        "rejected": len(record.rejects),
    }


def with_expected_rows(lines: list[Line]) -> list[Line]:
    """The lines of the part `rows` with the rows that their budgets should buy, by the records of all of them."""
    n_conversations = sum(line["conversations"] for line in lines)
    calls = sum(line["conversation_calls"] for line in lines)
    calls_each = calls / n_conversations if n_conversations else CALLS_OF_CONVERSATION
    accepted, rejected = (sum(line[name] for line in lines) for name in ("accepted", "rejected"))
    share = accepted / (accepted + rejected) if accepted else 1.0
    about = {"calls_of_conversation": round(calls_each, 3), "share_accepted": round(share, 4)}
    return [
        {**line, **about, "rows_of_all_calls": round(line["max_calls"] / calls_each * ROWS_PER_DRAW * share)}
        for line in lines
    ]


def command_run(port: int, name: str, usage: str) -> Line:
    """One run of `tagal optimize` or `tagal study run`."""
    server = Case(port, f"{name}-{usage}", usage=usage, counted=True)
    with tempfile.TemporaryDirectory(prefix="tagal-budgets-") as directory:
        folder = Path(directory)
        (folder / "shop.csv").write_text(shoppers_csv())
        (folder / "space.toml").write_text(SPACE)
        began = time.monotonic()
        code, err = run(folder, *COMMANDS[name], "--lm", "openai/fake", "--api-base", server.address)
    seconds = round(time.monotonic() - began, 2)
    ended = {"ended": f"exit code {code}", "seconds": seconds, "problem": last_line(err)}
    about = {"part": "commands", "driver": name, "usage": usage, "max_calls": COMMAND_CALLS}
    return {**about, **ended, **of_server(settled(server))}


def all_lines(port: int, given: argparse.Namespace) -> Iterable[Line]:
    """The lines of the chosen parts, with processes side by side."""
    library = [case for part in PARTS[:2] if part in given.parts for case in library_cases(part, given.quick)]
    row_budgets = ROW_BUDGETS[1:2] if given.quick else ROW_BUDGETS
    commands = [(name, usage) for name in COMMANDS for usage in ("numbers", "none")][:: 3 if given.quick else 1]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, mp_context=context) as pool:
        n = len(library)
        yield from pool.map(library_run, [port] * n, range(n), library, chunksize=4)
        if "rows" in given.parts:
            yield from with_expected_rows(list(pool.map(rows_run, [port] * len(row_budgets), row_budgets)))
        if "commands" in given.parts:
            yield from pool.map(command_run, [port] * len(commands), *zip(*commands, strict=True))


def excess(line: Line) -> float:
    """By how much a run exceeds what its budget allows, in the unit of the budget; 0 or less where it holds."""
    if "max_calls" in line:
        return float(line["requests"] - line["max_calls"])
    unit = "tokens" if "max_tokens" in line else "cost"
    return float(line[unit] - line[f"max_{unit}"] - line["at_once"] * line[f"largest_{unit}"])


def limit_of(line: Line) -> str:
    return ", ".join(f"{name} {line[name]:g}" for name in ("max_calls", "max_tokens", "max_cost") if name in line)


def grouped(
    lines: Iterable[Line], about: Callable[[Line], str], holds: Callable[[Line], bool]
) -> list[tuple[str, bool]]:
    """A claim for each group of lines, with the number of lines that it holds for."""
    groups: dict[str, list[bool]] = {}
    for line in lines:
        groups.setdefault(about(line), []).append(holds(line))
    return [(f"{name} ({sum(held)} of {len(held)} runs)", all(held)) for name, held in groups.items()]


def claims(lines: list[Line]) -> list[tuple[str, bool]]:
    by_part = {part: [line for line in lines if line["part"] == part] for part in PARTS}
    library = by_part["calls"] + by_part["tokens"]
    return [
        *grouped(
            library + by_part["rows"] + by_part["commands"],
            lambda line: f"{limit_of(line)}, usage {line['usage']}, {line['driver']}: the budget is held",
            lambda line: excess(line) <= 1e-9,
        ),
        *grouped(
            library + by_part["rows"],
            lambda line: f"usage {line['usage']}, {line['driver']}: every request that the server got is counted",
            lambda line: line["calls_counted"] == line["requests"],
        ),
        *grouped(
            library,
            lambda line: f"usage {line['usage']}, {line['driver']}: the run ends by its budget",
            lambda line: line["ended"] == "budget",
        ),
        *(
            (
                f"max_calls {line['max_calls']}, generate: {line['rows']} rows are at least {LEAST_SHARE:.0%} of the "
                f"{line['rows_of_all_calls']} that finished conversations would give",
                line["rows"] >= LEAST_SHARE * line["rows_of_all_calls"],
            )
            for line in by_part["rows"]
        ),
    ]


def main(given: argparse.Namespace) -> int:
    lines: list[Line] = []
    with counting_server() as port:
        for line in all_lines(port, given):
            lines.append({**line, "excess": round(excess(line), 6)})
            print(lines[-1], flush=True)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(lines).to_csv(given.out, index=False)
    return told(claims(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="some of the runs; writes no results unless told --out")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--workers", type=int, default=2, help="runs at once")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.out is None and not asked.quick and set(asked.parts) == set(PARTS):
        asked.out = RESULTS
    sys.exit(main(asked))
