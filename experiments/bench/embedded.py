"""How near a generation on the embedded model comes to what llama.cpp can do here, and where its time goes.

    TAGAL_DATA_DIR=... uv run python experiments/bench/embedded.py [--rows 100] [--try-out]

Thyroid and Adult with default settings, but without overdraw. Raw decoding: the last prompt of the run, continued in
all slots at once without a grammar, the time of a short continuation subtracted from that of a long one, so that
neither prompt nor call is counted (median of three); the same with the grammar says what that costs. What llama.cpp
could do: raw tokens a second by tokens of a kept row. llama.cpp counts the tokens of the first branch of a call, by
whose length those of the other are reckoned. Shares of the time are tokens by their raw speed; slots are busy while a
call with so many branches is out.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from watched import Answered, Watched, watch

from tagal_dspy import TagalSynthesizer, load_dataset, make_lm
from tagal_dspy.engines.lark import as_lark
from tagal_dspy.engines.llama import N_SLOTS
from tagal_dspy.modules import RowGenerator

RESULTS = Path(__file__).parents[1] / "results" / "embedded.md"
TABLES = {"thyroid": "Recurred", "adult": "income"}
SHORT, LONG = 8, 72
"""Tokens of a continuation."""

REPEATS = 3
"""Of each measurement of raw decoding, of which the median counts."""

LEAST_SHARE, MOST_SECONDS, MOST_TOKENS = 0.7, 15.0, 150


def timed(server: Any, body: dict[str, Any], **changed: Any) -> float:
    """Seconds that an answer takes; nothing of its prompt is known from before."""
    body = {**body, "prompt": f"{time.monotonic_ns()}\n{body['prompt']}", "cache_prompt": False, **changed}
    Watched.calls.clear()
    started = time.perf_counter()
    server.handle_completions(body)
    return time.perf_counter() - started


def decode_speed(server: Any, body: dict[str, Any]) -> float:
    """Tokens a second, all slots at work on texts that do not end before."""
    seconds = []
    for _ in range(REPEATS):
        short, long = (timed(server, body, n=N_SLOTS, max_tokens=n) for n in (SHORT, LONG))
        seconds.append(long - short)
    return N_SLOTS * (LONG - SHORT) / max(statistics.median(seconds), 1e-9)


def free(body: dict[str, Any]) -> dict[str, Any]:
    """What was asked, without a grammar and without an end."""
    return {key: value for key, value in body.items() if key != "grammar"} | {"ignore_eos": True}


def prompt_speed(server: Any, body: dict[str, Any]) -> float:
    """Tokens of a prompt evaluated a second, nothing else at work."""
    seconds = timed(server, body, n=1, max_tokens=1)
    return Watched.calls[-1].prompt / seconds


def busy(calls: list[Answered], seconds: float) -> float:
    """Mean number of slots that are at work; calls beyond the slots wait."""
    edges = sorted([(call.began, call.body["n"]) for call in calls] + [(call.ended, -call.body["n"]) for call in calls])
    total, at_work, before = 0.0, 0, edges[0][0]
    for moment, change in edges:
        total += min(at_work, N_SLOTS) * (moment - before)
        at_work, before = at_work + change, moment
    return total / seconds


def report(name: str, n_rows: int) -> tuple[list[str], dict[str, bool]]:
    synthesizer = TagalSynthesizer(make_lm("local", cache=False), overdraw=1.0)
    synthesizer.fit(load_dataset(name).frame, TABLES[name])
    synthesizer.sample(1)  # loads the model, fits the curator
    Watched.calls.clear()
    started = time.perf_counter()
    synthesizer.sample(n_rows)
    seconds, calls = time.perf_counter() - started, list(Watched.calls)
    written, evaluated = sum(call.written for call in calls), sum(call.prompt - call.reused for call in calls)
    server, asked = Watched.latest, calls[-1].body
    grammar = as_lark(RowGenerator().wire(synthesizer.task_).grammar(100))
    plain, held = decode_speed(server, free(asked)), decode_speed(server, asked | {"grammar": grammar})
    reading = prompt_speed(server, free(asked))
    possible = plain * n_rows / written
    share, per_row = n_rows / seconds / possible, (written + evaluated) / n_rows
    parts = {
        "prompts": evaluated / reading / seconds,
        "decoding": written / plain / seconds,
        "grammar": written * max(0.0, 1 / held - 1 / plain) / seconds,
    }
    lines = [
        f"## {name.capitalize()}: {n_rows} rows in {seconds:.0f} s, {len(calls)} draws",
        "",
        "| | |",
        "|---|---|",
        f"| rows a second | {n_rows / seconds:.2f} |",
        f"| raw decoding at {N_SLOTS} slots, tokens a second | {plain:.0f} |",
        f"| the same under the grammar | {held:.0f} ({1 - held / plain:.0%} less) |",
        f"| tokens of prompts a second | {reading:.0f} |",
        f"| tokens written for a row | {written / n_rows:.1f} |",
        f"| rows a second that raw decoding would give | {possible:.2f} |",
        f"| **share of that** | **{share:.2f}** (at least {LEAST_SHARE}) |",
        f"| **tokens for a row, prompts as evaluated** | **{per_row:.0f}** (at most {MOST_TOKENS} on Thyroid) |",
        *(f"| share of the time: {part} | {value:.0%} |" for part, value in parts.items()),
        f"| share of the time: all else | {1 - sum(parts.values()):.0%} |",
        f"| idle slots | {1 - busy(calls, seconds) / N_SLOTS:.0%} |",
        "",
    ]
    held_to = {f"{name}: share of raw decoding": share >= LEAST_SHARE}
    if name == "thyroid":
        held_to["thyroid: tokens for a row"] = per_row <= MOST_TOKENS
    return lines, held_to


def first_row() -> float:
    """Seconds until a command of its own has written one row."""
    with tempfile.TemporaryDirectory() as folder:
        made = ["thyroid", "--target", TABLES["thyroid"], "--rows", "1", "--no-cache", "--out", f"{folder}/row.csv"]
        command = [sys.executable, "-m", "tagal_dspy.cli", "generate", *made, "--run", f"{folder}/run.sqlite"]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def main(n_rows: int, try_out: bool, out: Path) -> int:
    lines = ["# What the embedded model gives, and where the time goes", ""]
    lines += [f"Printed by `python experiments/bench/embedded.py --rows {n_rows}`, which says how it is measured.", ""]
    lines += [f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}.", ""]
    held: dict[str, bool] = {}
    if not try_out:
        seconds = first_row()
        held["seconds to the first row"] = seconds <= MOST_SECONDS
        lines += [f"A fresh command has written its first row after {seconds:.1f} s (at most {MOST_SECONDS:.0f}).", ""]
    print("\n".join(lines), flush=True)
    watch(try_out)
    for name in TABLES:
        found, held_to = report(name, n_rows)
        print("\n".join(found), flush=True)
        lines += found
        held |= held_to
    claims = [f"{'Holds' if value else 'Is broken'}: {what}.  " for what, value in held.items()]
    print("\n".join(claims))
    lines += claims
    if not try_out:
        out.write_text("\n".join(lines) + "\n")
    return 0 if try_out or all(held.values()) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--try-out", action="store_true", help="with a stand-in for the model; measures nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.rows, given.try_out, given.out))
