"""What wide tables and long answers cost, each in a process of its own.

    python experiments/bench/wide.py [--columns 30 300 1000]

A table of 500 rows is described; then 20 rows come from a scripted model that answers at once, default settings. An
answer of 20 MB for one draw is read as CSV. Processor time counts, and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "wide.md"
N_REAL, N_GENERATED = 500, 20
ANSWER_BYTES = 20_000_000
MOST_DESCRIBED, MOST_GENERATED, MOST_ANSWER, MOST_GIB = 10.0, 30.0, 10.0, 1.0
"""Processor seconds for the widest table, for its rows and for the answer; memory of each."""


def table(n_columns: int, n_rows: int, seed: int = 0) -> Any:
    """Numbers of one hidden factor, skewed ones, whole ones and categories in turn, and a label."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=n_rows)
    make = (
        lambda: (hidden + rng.normal(size=n_rows)).round(3),
        lambda: np.exp(hidden + rng.normal(size=n_rows) * 3),
        lambda: rng.poisson(np.exp(hidden / 2 + 1)),
        lambda: np.array(["red", "green", "blue", "grey"], dtype=object)[rng.integers(0, 4, n_rows)],
    )
    columns = {f"column {place}": make[place % 4]() for place in range(n_columns - 1)}
    columns["label"] = np.where(hidden + rng.normal(size=n_rows) > 0, "yes", "no")
    return pd.DataFrame(columns)


def spent(since: float) -> dict[str, float]:
    """Processor seconds after a moment, and the peak memory of the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": time.process_time() - since, "GiB": used.ru_maxrss / 2**20}


def described(n_columns: int, folder: Path) -> dict[str, float]:
    from tagal_dspy.cli.describing import describe
    from tagal_dspy.cli.options import read_options

    path = folder / f"wide_{n_columns}.csv"
    table(n_columns, N_REAL).to_csv(path, index=False)
    start = time.process_time()
    describe(str(path), read_options(None, None, {"target": "label"}), as_json=True)
    path.unlink()
    return spent(start)


def generated(n_columns: int, folder: Path) -> dict[str, float]:
    import numpy as np

    from tagal_dspy import TagalSynthesizer
    from tagal_dspy.codecs import CsvCodec
    from tagal_dspy.testing import Answer, Asked, scripted_lm

    frame = table(n_columns, N_REAL)
    start = time.process_time()
    answers: list[str] = []

    def answer(asked: Asked) -> Answer:
        return answers.pop()

    synthesizer = TagalSynthesizer(scripted_lm(answer, cache=False)).fit(frame, "label")
    train, schema, rng = synthesizer.task_.train, synthesizer.task_.schema, np.random.default_rng(0)
    for _ in range(20):  # rows within the ranges: the cells of each class change places
        classes = [rows.head(N_GENERATED) for _, rows in train.groupby("label")]
        mixed = [rows.apply(lambda cells: cells.sample(frac=1, random_state=rng).to_numpy()) for rows in classes]
        answers.append("".join(CsvCodec(schema).encode(schema.to_rows(rows)) for rows in mixed))
    rows = synthesizer.sample(N_GENERATED)
    assert len(rows) == N_GENERATED, len(rows)
    return spent(start)


def read(n_columns: int, folder: Path) -> dict[str, float]:
    from tagal_dspy.codecs import CsvCodec
    from tagal_dspy.codecs.layouts import read_answer
    from tagal_dspy.schema import TableSchema

    frame = table(n_columns, N_REAL)
    schema = TableSchema.infer(frame, "label")
    codec = CsvCodec(schema)
    text = codec.encode(schema.to_rows(frame))
    answer = text * (1 + ANSWER_BYTES // len(text))
    start = time.process_time()
    read_answer(codec, answer)
    return spent(start)


PARTS = {"described": described, "generated": generated, "read": read}


def measured(what: str, n_columns: int, folder: Path) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, what, str(n_columns), str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(shown.splitlines()[-1])
    return found


def main(widths: list[int], out: Path) -> int:
    import tempfile

    lines = [
        "# What wide tables and long answers cost",
        "",
        "Printed by `python experiments/bench/wide.py`: seconds of",
    ]
    lines += [f"the processor, peak memory; {N_REAL} real rows, {N_GENERATED} from a scripted model.", ""]
    lines += [f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}.", ""]
    lines += ["| columns | described | 20 rows | an answer of 20 MB |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        found = {n: {what: measured(what, n, Path(folder)) for what in PARTS} for n in widths}
    for n_columns, parts in found.items():
        cells = [f"{each['seconds']:.3g} s, {each['GiB']:.2f} GiB" for each in parts.values()]
        lines.append(f"| {n_columns:,} | {' | '.join(cells)} |")
    widest = found[max(widths)]
    held = {
        f"{max(widths):,} columns are described in at most {MOST_DESCRIBED:.0f} s": widest["described"]["seconds"]
        <= MOST_DESCRIBED,
        f"{N_GENERATED} rows take at most {MOST_GENERATED:.0f} s": widest["generated"]["seconds"] <= MOST_GENERATED,
        f"an answer of 20 MB takes at most {MOST_ANSWER:.0f} s": all(
            parts["read"]["seconds"] <= MOST_ANSWER for parts in found.values()
        ),
        f"each takes at most {MOST_GIB:.0f} GiB": all(
            each["GiB"] <= MOST_GIB for parts in found.values() for each in parts.values()
        ),
    }
    lines += ["", *(f"{'Holds' if value else 'Is broken'}: {what}.  " for what, value in held.items())]
    print("\n".join(lines))
    out.write_text("\n".join(lines) + "\n")
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        print(json.dumps(PARTS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))))
        sys.exit()
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--columns", type=int, nargs="+", default=[30, 300, 1000])
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.columns, given.out))
