"""Partial rows: what some cells are known to be, for an LM to write the others."""

from __future__ import annotations

import pandas as pd

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.conditions.slots import ANY, Slot
from tagal_dspy.errors import DataError
from tagal_dspy.schema import TableSchema, read_cells


def known_slots(partial: pd.DataFrame, schema: TableSchema) -> list[Slot]:
    """One slot for each partial row; equal rows have equal slots.

    Args:
        partial: some of the table's columns, at least one row. A missing cell is one to be written.
        schema: of the table.

    Raises:
        DataError: there is no row, or see `read_cells`.

    >>> schema = TableSchema.infer(pd.DataFrame({"age": [17, 42, 90], "job": ["cook", "smith", "cook"]}))
    >>> [str(slot) for slot in known_slots(pd.DataFrame({"job": ["smith", "cook"], "age": [None, 20]}), schema)]
    ["job == 'smith'", "job == 'cook' and age == '20'"]
    """
    if partial.empty:
        raise DataError("there is no partial row to complete")
    return [_slot(cells, schema) for cells in read_cells(partial, schema)]


def _slot(cells: dict[str, str | None], schema: TableSchema) -> Slot:
    known = {name: text for name, text in cells.items() if text is not None}
    return Slot(condition=Condition.known(known, schema)) if known else ANY
