"""What a user should know of how a table is read: for people, never for a prompt."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from tagal_dspy.characters import lines_by_phrase
from tagal_dspy.task import TableTask


def read_findings(frame: pd.DataFrame, task: TableTask) -> list[str]:
    """How columns are read that are not read as they stand there, and all that is left out, a line each.

    Args:
        frame: the table as it was given.
        task: what was made of it.
    """
    of_columns = [(column.name, each) for column in task.whole.columns for each in column.findings(frame[column.name])]
    return [*_rows(frame, task), *_left_out(frame, task), *lines_by_phrase(of_columns)]


def _rows(frame: pd.DataFrame, task: TableTask) -> Iterator[str]:
    split = f"{len(task.train)} for training, {len(task.validation)} for validation, {len(task.test)} for testing"
    yield f"{len(frame)} rows: {split}"
    if task.n_unlabelled:
        yield f"{task.n_unlabelled} rows are left out: they have no value of the target {task.schema.target!r}"
    if task.whole.classes:
        lost = [label for label in task.whole.classes if label not in task.schema.classes]
        if lost:
            yield f"classes without a training row are never written: {', '.join(map(repr, lost))}"


def _left_out(frame: pd.DataFrame, task: TableTask) -> Iterator[str]:
    dropped = [str(name) for name in frame.columns if name not in task.whole.all_names]
    if dropped:
        yield f"columns left out: {', '.join(map(repr, dropped))}"
