"""The values that rules compare, read from canonical text by the columns of the schema.

Frames are rendered first (`TableSchema.to_rows`), so that a rule means the same for real and for generated rows,
whatever dtype a real column has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tagal_dspy.schema import CellColumn, Row, TableSchema
from tagal_dspy.task import TableTask

Values = dict[str, np.ndarray[Any, Any]]
"""The values of some rows by column."""


def values_of(rows: Sequence[Row], schema: TableSchema, names: Iterable[str]) -> Values:
    """The values of some columns: numbers, and moments in seconds since 1970, as `float64`, NaN where they are missing;
    categories and texts as `object`, None where they are missing.

    >>> from pandas import DataFrame
    >>> schema = TableSchema.infer(DataFrame({"day": ["02/01/1970", "31/12/2024"], "city": ["Ghent", "Mons"]}))
    >>> values_of([("03/01/1970", "Mons"), (None, "Ghent")], schema, schema.names)["day"].tolist()
    [172800.0, nan]
    """
    places = {name: schema.names.index(name) for name in names}
    return {
        name: _column_values([row[place] for row in rows], schema.modelled[place]) for name, place in places.items()
    }


def _column_values(cells: Sequence[str | None], column: CellColumn) -> np.ndarray[Any, Any]:
    if column.is_closed or column.is_free:
        return np.array(cells, dtype=object)
    numbers = {cell: math.nan if cell is None else column.number(cell) for cell in set(cells)}
    return np.array([numbers[cell] for cell in cells], dtype=float)


def known_rows(task: TableTask) -> list[Row]:
    """Training and validation rows; nothing is learnt from test rows."""
    return [*task.train_rows, *task.schema.to_rows(task.validation)]
