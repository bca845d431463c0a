"""`Slot`: rows that are wanted and counted together, and the slots that targets and partial rows fall into."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.errors import DataError
from tagal_dspy.schema import CategoricalColumn, NumericalColumn, Row, TableSchema, read_cells
from tagal_dspy.task import TableTask

Places = np.ndarray[Any, np.dtype[np.int64]]


FEW_ROWS = 5
"""Rows of a slot below which rows close to it count as well."""

MIN_ALIKE = 20
"""Each group of rows that lack the same comparisons keeps this many rows, or as many as the smallest group has."""


@dataclass(frozen=True)
class Slot:
    """Rows of one class, rows that meet one condition, rows that are both, or any rows.

    Attributes:
        label: the class; None for all.
        condition: what every row meets; None for nothing.
    """

    label: str | None = None
    condition: Condition | None = None

    def takes(self, row: Row, schema: TableSchema) -> bool:
        """Whether a canonical row is one of these."""
        if self.label is not None and schema.target and row[schema.names.index(schema.target)] != self.label:
            return False
        return self.condition is None or self.condition.holds(row)

    def under(self, condition: Condition | None) -> Slot:
        """The slot with a condition that every row of a table meets; its own condition implies it."""
        return self if self.condition is not None else Slot(self.label, condition)

    def __str__(self) -> str:
        parts = [self.label, self.condition.text if self.condition else None]
        return " and ".join(part for part in parts if part is not None)


ANY = Slot()
"""Any rows."""


def target_slots(task: TableTask) -> list[Slot]:
    """One slot for each class, or for each quantile bin of the training rows; none without a target.

    >>> [str(slot) for slot in target_slots(TableTask(pd.DataFrame({"x": range(50), "y": range(50)}), "y"))]
    ['`y` <= 8', '`y` > 8 and `y` <= 21', '`y` > 21 and `y` <= 32', '`y` > 32']
    """
    schema = task.schema
    if schema.target is None or schema.classes:
        return [Slot(label) for label in schema.classes]
    column = schema.target_column
    if not isinstance(column, NumericalColumn):
        return []
    name = "`" + column.name.replace("`", "``") + "`"
    numbers = column.numbers(task.train[column.name])
    tops = [float(numbers[places].max()) for places in task.strata.values()]
    bounds = [None, *map(column.text, tops[:-1]), None]
    texts = [
        " and ".join([f"{name} > {low}"] * (low is not None) + [f"{name} <= {high}"] * (high is not None))
        for low, high in pairwise(bounds)
    ]
    return [Slot(condition=Condition.parse(text, schema)) for text in texts if text]


def closest_rows(task: TableTask, slot: Slot) -> Places:
    """Places of the training rows of a slot; none where its class has no row.

    Where fewer than `FEW_ROWS` meet its condition, also those of its class that meet most of it, about as many that
    lack one comparison as lack another.

    >>> task = TableTask(pd.DataFrame({"age": [20, 40] * 25, "y": ["a", "b"] * 25}), "y", withholds=False)
    >>> of_a = Slot("a", Condition.parse("age > 30", task.schema))  # all of whose rows are 20
    >>> [len(closest_rows(task, slot)) for slot in (ANY, Slot("a"), of_a)]
    [50, 25, 25]
    """
    known = _closest.setdefault(task, {})
    if slot not in known:
        known[slot] = _closest_rows(task, slot)
    return known[slot]


_closest: WeakKeyDictionary[TableTask, dict[Slot, Places]] = WeakKeyDictionary()


def _closest_rows(task: TableTask, slot: Slot) -> Places:
    places: Places = np.arange(len(task.train_rows))
    if slot.label is not None:
        places = task.strata.get(slot.label, places[:0])
    condition = slot.condition
    if condition is None or not len(places):
        return places
    fits = np.array([condition.holds(task.train_rows[place]) for place in places])
    exact: Places = places[fits]
    if len(exact) >= FEW_ROWS or fits.all():
        return exact
    return np.sort(np.concatenate([exact, _meeting_most(task, places[~fits], condition)]))


def _meeting_most(task: TableTask, places: Places, condition: Condition) -> Places:
    target = task.schema.target
    allowed = [place for place in places if target is None or condition.allows(task.train_rows[place], target)]
    alike: dict[tuple[bool, ...], list[int]] = {}
    for place in allowed or places:
        alike.setdefault(condition.met_by(task.train_rows[place]), []).append(place)
    most = max(map(sum, alike))
    groups = [group for met, group in alike.items() if sum(met) == most]
    n_each = max(MIN_ALIKE, min(map(len, groups)))
    spread = [np.array(group)[np.unique(np.linspace(0, len(group) - 1, n_each).astype(int))] for group in groups]
    return np.sort(np.concatenate(spread))


def real_counts(task: TableTask, condition: Condition | None = None) -> dict[Slot, int]:
    """Training rows of each slot of the target, of those that meet a condition, or most of it, where there is one.

    >>> {str(slot): n for slot, n in real_counts(TableTask(pd.DataFrame({"y": list("aab") * 10}), "y")).items()}
    {'a': 13, 'b': 6}
    """
    slots = target_slots(task)
    if condition is None and task.schema.classes:
        return {slot: len(task.strata.get(str(slot), ())) for slot in slots}
    rows = [task.train_rows[place] for place in closest_rows(task, Slot(condition=condition))]
    counts = {slot: sum(slot.takes(row, task.schema) for row in rows) for slot in slots}
    target = task.schema.target
    narrowed = condition.narrowed.get(target) if condition is not None and target is not None else None
    if isinstance(narrowed, CategoricalColumn):
        counts = {slot: n for slot, n in counts.items() if slot.label in narrowed.categories}
    return counts if any(counts.values()) else dict.fromkeys(counts, 1)


def known_slots(partial: pd.DataFrame, schema: TableSchema) -> list[Slot]:
    """One slot for each partial row; equal rows have equal slots.

    Args:
        partial: some of the table's columns, at least one row. A missing cell is one to be written.
        schema: of the table.

    Raises:
        DataError: there are no rows, or see `read_cells`.

    >>> schema = TableSchema.infer(pd.DataFrame({"age": [17, 42, 90], "job": ["cook", "smith", "cook"]}))
    >>> [str(slot) for slot in known_slots(pd.DataFrame({"job": ["smith", "cook"], "age": [None, 20]}), schema)]
    ["job == 'smith'", "job == 'cook' and age == '20'"]
    """
    if partial.empty:
        raise DataError("there are no partial rows to complete")
    return [_slot(cells, schema) for cells in read_cells(partial, schema)]


def _slot(cells: dict[str, str | None], schema: TableSchema) -> Slot:
    known = {name: text for name, text in cells.items() if text is not None}
    return Slot(condition=Condition.known(known, schema)) if known else ANY
