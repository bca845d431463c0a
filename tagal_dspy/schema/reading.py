"""Rows that a user wrote, whole or in part, as canonical text."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tagal_dspy.errors import DataError, nearest
from tagal_dspy.schema.columns import CellError, ModelledColumn, category_text
from tagal_dspy.schema.columns.storage import is_moments
from tagal_dspy.schema.table import TableSchema

MAX_PROBLEMS = 5
"""Problems that an error lists."""


def read_cells(frame: pd.DataFrame, schema: TableSchema) -> list[dict[str, str | None]]:
    """The cells of some rows by column; None where they are empty.

    Args:
        frame: some of the table's columns, in any order.
        schema: of the table.

    Raises:
        DataError: a column is unknown or holds ids, or a cell does not fit its column; all at once.

    >>> schema = TableSchema.infer(pd.DataFrame({"age": [17, 42, 90], "job": ["cook", "smith", "cook"]}))
    >>> read_cells(pd.DataFrame({"job": ["Smith", None], "age": [20.0, 30.0]}), schema)
    [{'job': 'smith', 'age': '20'}, {'job': None, 'age': '30'}]
    """
    columns = {column.name: column for column in schema.modelled}
    names = [str(name) for name in frame.columns]
    problems = [f"{name!r} is not a column to write; {nearest(name, columns)}" for name in names if name not in columns]
    if not problems:
        texts = [_texts(frame[name], columns[name], problems) for name in names]
    if problems:
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise DataError("; ".join(problems[:MAX_PROBLEMS]) + more)
    return [dict(zip(names, row, strict=True)) for row in zip(*texts, strict=True)]


def _texts(values: pd.Series[Any], column: ModelledColumn, problems: list[str]) -> list[str | None]:
    """The cells of a column as canonical text, None where they are empty; what does not fit goes to `problems`."""
    in_time = is_moments(values) and not (column.is_closed or column.is_free or column.is_number)
    written = column.render(values) if in_time else [None if pd.isna(each) else category_text(each) for each in values]
    texts: list[str | None] = []
    for number, text in enumerate(written, start=1):
        try:
            texts.append(column.canonical(text) if text and text.strip() else None)
        except CellError as error:
            problems.append(f"row {number}: {error}")
    return texts
