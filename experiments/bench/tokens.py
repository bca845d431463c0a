"""Tokens for a row that is kept: ours, against plain `dspy.Predict` and against the published method.

    TAGAL_DATA_DIR=... uv run python experiments/bench/tokens.py [--rows 60] [--try-out]

All on Thyroid with the embedded model. Counted are prompt tokens that were evaluated (those reused left out) and tokens
that were written; kept are rows that fit the schema, are new, and equal no real row. Plain is what one writes first:
`card, examples: list[Row], n_rows -> rows: list[Row]` in JSON, held to its schema by the engine, fresh few-shots for
each call. It and the paper's method end after so many calls, whatever they have brought by then.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

import dspy
import numpy as np
import pydantic
from dspy.utils.exceptions import AdapterParseError, LMError
from watched import Watched, watch

from tagal_dspy import NotEnoughRowsError, TableTask, TagalSynthesizer, load_dataset, make_lm
from tagal_dspy.acceptance import Acceptance, RowFilter
from tagal_dspy.card import make_card
from tagal_dspy.few_shot import StratifiedSampler
from tagal_dspy.recording import Recorder
from tagal_dspy.schema import CategoricalColumn, Row
from tagal_dspy.settings import Budget

RESULTS = Path(__file__).parents[1] / "results" / "tokens.md"
N_SHOTS = 4
ROWS_PER_CALL = 10
MAX_CALLS = 12
MAX_TOKENS = 1024


def ours(task: TableTask, lm: dspy.LM, n_rows: int, preset: str) -> list[Row]:
    synthesizer = TagalSynthesizer(lm, preset=preset).fit(load_dataset("thyroid").frame, task.schema.target)
    # The published method may take as many calls as it likes, but not hours.
    recorder = Recorder(budget=Budget(max_calls=MAX_CALLS if preset == "paper" else None))
    try:
        synthesizer.sample(n_rows, recorder=recorder)
        return task.schema.to_rows(synthesizer.prediction_.table)
    except NotEnoughRowsError as error:
        return task.schema.to_rows(error.prediction.table)


def plain(task: TableTask, lm: dspy.LM, n_rows: int) -> list[Row]:
    model = row_model(task)

    fields = {
        "card": (str, dspy.InputField()),
        "examples": (list[model], dspy.InputField()),  # type: ignore[valid-type]
        "n_rows": (int, dspy.InputField()),
        "rows": (list[model], dspy.OutputField()),  # type: ignore[valid-type]
    }
    signature = dspy.Signature(fields, "Write new rows of the table, unlike the examples but as plausible.")
    predict = dspy.Predict(signature, temperature=1.0, max_tokens=MAX_TOKENS)
    names, rows, card = task.schema.names, [], make_card(task.schema)
    for call in range(MAX_CALLS):
        shots = StratifiedSampler().sample(task, N_SHOTS, np.random.default_rng(call))
        examples = [model(**dict(zip(names, row, strict=True))) for row in shots]
        try:
            with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
                said = predict(card=card, examples=examples, n_rows=ROWS_PER_CALL, config={"rollout_id": call})
        except (AdapterParseError, LMError) as error:
            print(f"  call {call}: {type(error).__name__}", flush=True)
            continue
        rows += [tuple(str(getattr(row, name)) for name in names) for row in said.rows]
        if len(kept(task, rows, n_rows)) == n_rows:
            break
    return rows


def row_model(task: TableTask) -> type[pydantic.BaseModel]:
    """A row as one would write it down: categories are literals, numbers are numbers."""
    fields: dict[str, Any] = {}
    for column in task.schema.modelled:
        kind = Literal[column.offered] if isinstance(column, CategoricalColumn) else float  # type: ignore[valid-type]
        if not isinstance(column, CategoricalColumn) and column.decimals == 0:
            kind = int
        fields[column.name] = (kind, ...)
    return pydantic.create_model("Row", **fields)


def kept(task: TableTask, rows: list[Row], n_rows: int) -> list[Row]:
    row_filter = RowFilter(task, "strict")
    return Acceptance(row_filter, n_rows).offer(row_filter.fitting(rows)[0])


def main(n_rows: int, try_out: bool, out: Path) -> None:
    watch(try_out)
    task, lm = TableTask(load_dataset("thyroid").frame, "Recurred"), make_lm("local", cache=False)
    ways: dict[str, Any] = {
        "tagal_dspy": lambda: ours(task, lm, n_rows, "grounded"),
        "`dspy.Predict`, `list[Row]` in JSON": lambda: plain(task, lm, n_rows),
        "`--preset paper`": lambda: ours(task, lm, n_rows, "paper"),
    }
    lines = [
        "# Tokens for a row that is kept",
        "",
        f"Printed by `python experiments/bench/tokens.py --rows {n_rows}`.",
        "",
    ]
    lines += [f"Thyroid, the embedded model; at most {MAX_CALLS} calls but for the first line.", ""]
    lines += [
        "| | calls | prompt tokens | of them reused | tokens written | rows kept | tokens a row | ratio | seconds |"
    ]
    lines += ["|---" * 9 + "|"]
    per_row: list[float] = []
    for name, write in ways.items():
        Watched.calls.clear()
        started = time.monotonic()
        n_kept = len(kept(task, write(), n_rows))
        took, calls = time.monotonic() - started, list(Watched.calls)
        per_row.append(sum(call.tokens for call in calls) / n_kept if n_kept else float("inf"))
        sums = [sum(getattr(call, what) for call in calls) for what in ("prompt", "reused", "written")]
        counts = " | ".join(map(str, [len(calls), *sums, n_kept]))
        lines.append(f"| {name} | {counts} | {per_row[-1]:.0f} | {per_row[-1] / per_row[0]:.1f} | {took:.0f} |")
        print(lines[-1], flush=True)
    lines += ["", f"Load average {os.getloadavg()[0]:.1f} at the end."]
    print("\n".join(lines))
    if not try_out:
        out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--try-out", action="store_true", help="with a stand-in for the model; measures nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.rows, given.try_out, given.out))
