"""Partial rows: what some cells are known to be, for an LM to write the others."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.conditions.slots import ANY, Slot
from tagal_dspy.errors import DataError, nearest
from tagal_dspy.schema import CellError, DatetimeColumn, ModelledColumn, TableSchema
from tagal_dspy.schema.columns import category_text

MAX_PROBLEMS = 5
"""Problems that an error lists."""


def known_slots(partial: pd.DataFrame, schema: TableSchema) -> list[Slot]:
    """One slot for each partial row; equal rows have equal slots.

    Args:
        partial: some of the table's columns, at least one row. A missing cell is one to be written.
        schema: of the table.

    Raises:
        DataError: a column is unknown or holds ids, a cell does not fit its column, or there is no row; all at once.

    >>> schema = TableSchema.infer(pd.DataFrame({"age": [17, 42, 90], "job": ["cook", "smith", "cook"]}))
    >>> [str(slot) for slot in known_slots(pd.DataFrame({"job": ["smith", "cook"], "age": [None, 20]}), schema)]
    ["job == 'smith'", "job == 'cook' and age == '20'"]
    """
    if partial.empty:
        raise DataError("there is no partial row to complete")
    columns = {column.name: column for column in schema.modelled}
    unknown = [str(name) for name in partial.columns if name not in columns]
    if unknown:
        raise DataError("; ".join(f"{name!r} is no column to complete; {nearest(name, columns)}" for name in unknown))
    problems: list[str] = []
    cells = [_texts(partial[name], columns[str(name)], problems) for name in partial.columns]
    if problems:
        more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise DataError("; ".join(problems[:MAX_PROBLEMS]) + more)
    return [_slot(dict(zip(partial.columns, row, strict=True)), schema) for row in zip(*cells, strict=True)]


def _slot(cells: dict[str, str | None], schema: TableSchema) -> Slot:
    known = {name: text for name, text in cells.items() if text is not None}
    return Slot(condition=Condition.known(known, schema)) if known else ANY


def _texts(values: pd.Series[Any], column: ModelledColumn, problems: list[str]) -> list[str | None]:
    """The cells of a column as canonical text, None where they are missing; what does not fit goes to `problems`."""
    in_time = isinstance(column, DatetimeColumn) and pd.api.types.is_datetime64_any_dtype(values.dtype)
    written = column.render(values) if in_time else [None if pd.isna(each) else category_text(each) for each in values]
    texts: list[str | None] = []
    for number, text in enumerate(written, start=1):
        try:
            texts.append(column.canonical(text) if text and text.strip() else None)
        except CellError as error:
            problems.append(f"row {number}: {error}")
    return texts
