"""What large tables cost: time, processor time and peak memory, each in a process of its own.

    python experiments/bench/scaling.py [--real 1000 10000 100000 1000000] [--generated 100 1000 10000 100000]
                                        [--chat 10000 100000 1000000]

Real rows: from a frame of 15 columns to the card and the first prompt; then the time of later draws (few-shots and
prompt, no model). Generated rows: a run on a scripted model that answers at once, default settings of small models but
for ten rows a draw; and a run with default settings of chat models, but without a critic (`--chat`). Processor time
is what the work takes; the clock also counts what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "scaling.md"
N_DRAWS = 20
MOST_SECONDS, MOST_GIB = 20.0, 2.0
"""For a million real rows."""

N_ROWS_GENERATED_FROM = 10_000
"""Real rows."""


def table(n_rows: int, seed: int = 0) -> Any:
    """Numbers that depend on each other, categories few and many, a missing value now and then, a label."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    age = rng.integers(17, 90, n_rows)
    wealth = rng.normal(0, 1, n_rows) + (age - 50) / 30
    columns: dict[str, Any] = {"age": age, "wealth": wealth.round(3)}
    columns |= {f"count {i}": rng.poisson(3 + 4 * i, n_rows) for i in range(3)}
    columns |= {f"amount {i}": np.round(np.exp(wealth + rng.normal(3, 1, n_rows)), 2) for i in range(3)}
    for i, n_levels in enumerate((2, 4, 7, 16, 40)):
        places = np.minimum(rng.geometric(2 / (n_levels + 1), n_rows) - 1, n_levels - 1)
        columns[f"kind {i}"] = np.array([f"level {level}" for level in range(n_levels)], dtype=object)[places]
    columns["rate"] = pd.Series(rng.random(n_rows).round(4)).where(rng.random(n_rows) > 0.05)
    columns["label"] = np.where(rng.random(n_rows) < 1 / (1 + np.exp(-wealth)), "yes", "no")
    return pd.DataFrame(columns)


def spent() -> tuple[float, float]:
    """The clock, and the processor time of this process."""
    return time.perf_counter(), time.process_time()


def since(before: tuple[float, float]) -> list[float]:
    return [now - then for now, then in zip(spent(), before, strict=True)]


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def real_rows(n_rows: int) -> dict[str, Any]:
    """Describe a table and write the first prompts; then draw few-shots and write prompts for later rounds."""
    import dspy

    from tagal_dspy import TagalSynthesizer
    from tagal_dspy.card import make_card
    from tagal_dspy.testing import scripted_lm

    lm = scripted_lm(lambda asked: "", style="continuation", takes_grammar=True, cache=False)
    frame, before = table(n_rows), peak_gib()
    start = spent()
    synthesizer = TagalSynthesizer(lm).fit(frame, "label")
    make_card(synthesizer.task_.schema)
    described = since(start)
    synthesizer.preview(10)
    whole = since(start)
    program = synthesizer.program_
    run = program.new_run(synthesizer.task_, 10 * N_DRAWS, 0)
    draws = []
    for slot in run.slots * (N_DRAWS // len(run.slots)):
        start = spent()
        request = run.scheduler.request(slot, 10)
        told = {**run.row_request(request), "examples": run.few_shots(request)}
        with dspy.context(lm=lm):
            program.generator.messages(synthesizer.task_, request.n_rows, rollout_id=request.number, **told)
        draws.append(since(start))
    return {
        "described": described,
        "first prompt": whole,
        "draw": [statistics.median(each) for each in zip(*draws[1:], strict=True)],
        "frame GiB": before,
        "peak GiB": peak_gib(),
    }


def written_rows(n_rows: int) -> tuple[Any, Any]:
    """Rows near real ones as a model writes them, and their labels."""
    source = table(n_rows, seed=1).astype({"rate": object})
    return source.where(source.notna(), "").astype(str).agg(",".join, axis=1).to_numpy(), source["label"].to_numpy()


def generated_rows(n_rows: int) -> dict[str, Any]:
    """A whole run on a model that answers at once with rows near real ones."""
    from tagal_dspy import TagalSynthesizer
    from tagal_dspy.testing import Answer, Asked, scripted_lm

    real = table(N_ROWS_GENERATED_FROM)
    texts, labels = written_rows(6 * n_rows)
    by_label = {label: iter(texts[labels == label]) for label in ("yes", "no")}
    one_at_a_time = threading.Lock()

    def answer(asked: Asked) -> Answer:
        label = "yes" if '::= "yes"\n' in asked.extra["grammar"] else "no"
        with one_at_a_time:
            lines = [next(by_label[label]) for _ in range(10)]
        return "\n".join(lines) + "\n"

    lm = scripted_lm(answer, style="continuation", takes_grammar=True, cache=False)
    synthesizer = TagalSynthesizer(lm, rows_per_draw=10).fit(real, "label")
    before, start = peak_gib(), spent()
    synthesizer.sample(n_rows)
    took = since(start)
    return {"run": took, "GiB before": before, "peak GiB": peak_gib(), "draws": synthesizer.prediction_.n_draws}


def chat_rows(n_rows: int) -> dict[str, Any]:
    """The same on a chat model: rows of both labels in one draw, no critic, no curation."""
    from tagal_dspy import TagalSynthesizer
    from tagal_dspy.testing import Answer, Asked, scripted_lm

    texts = iter(written_rows(2 * n_rows + 2000)[0])
    one_at_a_time = threading.Lock()

    def answer(asked: Asked) -> Answer:
        with one_at_a_time:
            return {"rows": "\n".join(next(texts) for _ in range(20))}

    lm = scripted_lm(answer, cache=False)
    synthesizer = TagalSynthesizer(lm, critic="none", n_iter=1).fit(table(N_ROWS_GENERATED_FROM), "label")
    before, start = peak_gib(), spent()
    synthesizer.sample(n_rows)
    took = since(start)
    return {"run": took, "GiB before": before, "peak GiB": peak_gib(), "draws": synthesizer.prediction_.n_draws}


def measured(what: str, n_rows: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, what, str(n_rows)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def main(real: list[int], generated: list[int], chat: list[int], out: Path) -> int:
    lines = ["# What large tables cost", "", "Printed by `python experiments/bench/scaling.py`; seconds are of the"]
    lines += ["processor, those of the clock in brackets.", ""]
    lines += [f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}.", ""]
    lines += [
        "| real rows | card | first prompt | for a row | a later draw | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    of_real = {n_rows: measured("real", n_rows) for n_rows in real}
    for n_rows, found in of_real.items():
        described, whole, draw = (
            f"{found[what][1]:.3g} s ({found[what][0]:.3g})" for what in ("described", "first prompt", "draw")
        )
        per_row = f"{found['first prompt'][1] / n_rows * 1e6:.1f} us"
        lines.append(f"| {n_rows:,} | {described} | {whole} | {per_row} | {draw} | {found['peak GiB']:.2f} GiB |")
    largest, smallest = of_real[max(real)], of_real[min(real)]
    draws = largest["draw"][1] / smallest["draw"][1]
    held = {
        f"{max(real):,} real rows take at most {MOST_SECONDS} s": largest["first prompt"][1] <= MOST_SECONDS,
        f"they take at most {MOST_GIB} GiB": largest["peak GiB"] <= MOST_GIB,
        f"a later draw takes as long from {max(real):,} rows as from {min(real):,} ({draws:.2f} times)": draws <= 2,
    }
    lines += generated_lines("generated", generated)
    lines += generated_lines("chat", chat)
    lines += ["", *(f"{'Holds' if value else 'Is broken'}: {what}.  " for what, value in held.items())]
    print("\n".join(lines))
    out.write_text("\n".join(lines) + "\n")
    return 0 if all(held.values()) else 1


def generated_lines(what: str, numbers: list[int]) -> list[str]:
    head = {"generated": "rows of a small model", "chat": "rows of a chat model"}[what]
    lines = ["", f"| {head} | seconds | for a row | memory for a row | draws |", "|---|---|---|---|---|"]
    for n_rows in numbers:
        found = measured(what, n_rows)
        memory = (found["peak GiB"] - found["GiB before"]) * 2**20 / n_rows
        clock, processor = found["run"]
        took = f"{processor:.3g} s ({clock:.3g}) | {processor / n_rows * 1e3:.2f} ms"
        lines.append(f"| {n_rows:,} | {took} | {memory:.1f} KiB | {found['draws']} |")
    return lines


MEASURES = {"real": real_rows, "generated": generated_rows, "chat": chat_rows}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in MEASURES:
        print(json.dumps(MEASURES[sys.argv[1]](int(sys.argv[2]))))
        sys.exit()
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--real", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--generated", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--chat", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.real, given.generated, given.chat, given.out))
