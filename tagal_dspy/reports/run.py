"""The report of a run: the table that it made, and how it came to that table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tagal_dspy.metrics import evaluate_task
from tagal_dspy.reports.charts import curve_chart
from tagal_dspy.reports.evaluation import evaluation_page, number
from tagal_dspy.reports.page import Figure, Listing, Page, Part, Section, Table
from tagal_dspy.task import TableTask

if TYPE_CHECKING:
    from tagal_dspy.synthesizer import TagalSynthesizer


def run_page(synthesizer: TagalSynthesizer) -> Page:
    """The report of a table that a synthesizer has just sampled, judged by the test rows of its task, if it has any."""
    task, prediction = synthesizer.task_, synthesizer.prediction_
    predictors = synthesizer.program_.named_predictors()
    run = run_sections(prediction, {name: each.signature.instructions for name, each in predictors})
    if task.test.empty:
        return Page(f"Synthetic table: {task.schema.name}", [_NOT_JUDGED], run)
    final = TableTask.of_parts(task.schema, train=task.train, validation=task.test)
    report = evaluate_task(final, prediction.table, seed=synthesizer.seed, few_shots=_few_shots(synthesizer))
    return evaluation_page(report, run)


_NOT_JUDGED = (
    "The table is not judged, because no real rows were withheld. `tagal evaluate --holdout` compares it with real "
    "rows that the generator did not see."
)


def _few_shots(synthesizer: TagalSynthesizer) -> pd.DataFrame | None:
    """The real rows that stood in prompts, read back from them."""
    schema, wire = synthesizer.task_.schema, synthesizer.program_.generator.wire(synthesizer.task_)
    shown = {str(turn.request["examples"]) for turn in synthesizer.prediction_.turns if turn.request.get("examples")}
    rows = {
        tuple(column.canonical(cell) for column, cell in zip(schema.modelled, cells, strict=True))
        for text in shown
        for cells in wire.decode(text).rows
    }
    return schema.to_frame(sorted(rows, key=repr)) if rows else None


def run_sections(prediction: Any, instructions: Mapping[str, str]) -> list[Section]:
    """How a run came to its table; no real row is in it.

    Args:
        prediction: what a program returned.
        instructions: by predictor, what it tells its language model.
    """
    reasons = Counter(reject.reason for reject in prediction.rejects).most_common()
    counts = ("calls", "prompt_tokens", "completion_tokens")
    usage = [[name, *(used[count] for count in counts)] for name, used in prediction.usage.items()]
    made: list[Part] = [f"{len(prediction.table)} rows were accepted in {prediction.n_draws} draws."]
    if prediction.selection is not None:
        made = [_selected(prediction)]
    if len(prediction.curve) > 1:
        made.append(_curve(prediction.curve))
    rejects = Table("Rejected rows by reason", ["reason", "rows"], reasons) if reasons else "No row was rejected."
    costs: Part = Table("Calls and tokens", ["model", "calls", "prompt tokens", "completion tokens"], usage)
    return [
        Section("Run", [*made, rejects, costs if usage else "No model was called: every answer was in the cache."]),
        Section("Prompts", [Listing(f"Instructions of {name}", text) for name, text in instructions.items()]),
    ]


def _selected(prediction: Any) -> str:
    """What the selection changed."""
    n_rows, selection = len(prediction.table), prediction.selection
    n_pool = n_rows + len(prediction.not_selected)
    trees = f" {prediction.n_from_trees} of the selected rows are from trees." if prediction.n_from_trees else ""
    return (
        f"{n_pool} rows were accepted in {prediction.n_draws} draws. The {n_rows} that together are most like the "
        "training rows were selected: their tables of two columns differ from those of the training rows by "
        f"{number(selection.after)} on average (total variation distance, from 0 to 1), those of a random choice by "
        f"{number(selection.before)}.{trees}"
    )


def _curve(values: Sequence[float]) -> Figure:
    table = Table("Score by iteration", ["iteration", "score"], [[step, number(v)] for step, v in enumerate(values)])
    told = ", ".join(number(value) for value in values)
    caption = "Quick score of the rows, by iteration (higher is better)"
    return Figure(caption, f"Mean quick score by iteration, from 0: {told}.", curve_chart(values, "quick score"), table)
