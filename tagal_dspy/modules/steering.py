"""Steering beyond words: what is accepted too often already cannot be written in the next draw."""

from __future__ import annotations

from collections.abc import Sequence

from tagal_dspy.conditions import Slot
from tagal_dspy.measures.discrepancies import MarginCounts, measure_margins
from tagal_dspy.measures.profile import profile_of
from tagal_dspy.schema import CategoricalColumn, Column, ModelledColumn, NumericalColumn, Row
from tagal_dspy.task import TableTask

MIN_ROWS = 10
"""Accepted rows below which nothing is steered."""


class AcceptedWindow:
    """The latest accepted rows of a slot, counted as they come and go.

    Args:
        task: the table.
        slot: of the rows, with the condition that every row meets.
        size: rows at most.
    """

    def __init__(self, task: TableTask, slot: Slot, size: int) -> None:
        self.counts = MarginCounts(profile_of(task, slot))
        self._size, self._start, self._end = size, 0, 0

    def move(self, rows: Sequence[Row], end: int) -> None:
        """Count the rows before `end`, no more than the window holds; it never moves back."""
        start = max(0, end - self._size)
        self.counts.add(rows[self._end : end])
        self.counts.remove(rows[self._start : start])
        self._start, self._end = start, max(end, self._end)


def steered(task: TableTask, counts: MarginCounts, slot: Slot) -> dict[str, ModelledColumn]:
    """The column that is furthest off, narrowed so that the next rows make up for it; empty where nothing is off.

    Args:
        task: the table.
        counts: of the rows of the slot accepted so far.
        slot: of the next draw.
    """
    if counts.n_rows < MIN_ROWS:
        return {}
    for found in measure_margins(task, counts, slot):
        if found.kind in ("share", "level") and found.value is not None:
            column = task.schema[found.columns[0]]
            narrowed = _without(column, found.value, found.excess)
            if narrowed is not None and column.name != task.schema.target:
                return {column.name: narrowed}
    return {}


def _without(column: Column, value: str, excess: float) -> ModelledColumn | None:
    if isinstance(column, NumericalColumn):
        limit = float(value)
        bounds = (column.next_to(limit, 1), column.maximum) if excess > 0 else (column.minimum, limit)
        return column.between(*bounds) if bounds[0] <= bounds[1] else None
    if isinstance(column, CategoricalColumn):
        others = tuple(each for each in column.offered if (each == value) == (excess < 0))
        return column.among(others) if others else None
    return None
