"""The real rows as levels: every cell a small number, so that rows are compared by counting.

Numbers, dates and lengths of texts fall into quartiles, frequent categories count one by one and rare ones together, a
missing value is a level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.schema import CategoricalColumn, ModelledColumn, Row
from tagal_dspy.task import TableTask

MAX_LEVELS = 6
"""Categories of a column that count one by one; rarer ones count together."""

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


class Levels(NamedTuple):
    """How the cells of one column are coded: 0 is missing, then bins or categories, the last for all others.

    Bins are of numbers, of moments, and of the lengths of texts.
    """

    column: ModelledColumn
    cuts: Floats | None
    codes: dict[str, int]
    n_levels: int

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.column.name

    def numbers(self, texts: Sequence[str | None]) -> Floats:
        """What the bins are of, NaN for missing values; nothing where there are none."""
        if isinstance(self.column, CategoricalColumn):
            return np.empty(0)
        return np.asarray(by_text(self.column.number, texts), dtype=float)

    def limit(self, cut: int) -> str:
        """The bound between two bins, as it is written; empty where there are none."""
        if self.cuts is None or isinstance(self.column, CategoricalColumn):
            return ""
        return self.column.shown(float(self.cuts[cut]))

    def coded(self, texts: Sequence[str | None]) -> Ints:
        """The level of each cell."""
        if self.cuts is None:
            other = self.n_levels - 1
            return np.asarray(by_text(lambda text: self.codes.get(text, other), texts, 0), dtype=np.int64)
        numbers = self.numbers(texts)
        return np.where(np.isnan(numbers), 0, 1 + np.searchsorted(self.cuts, numbers, side="left"))


def by_text(value: Callable[[str], float], texts: Sequence[str | None], missing: float = np.nan) -> Any:
    """An array with the value of each text; of equal texts it is found out once."""
    values = {text: missing if text is None else value(text) for text in set(texts)}
    return np.array([values[text] for text in texts])


class Profile:
    """Rows of a task as levels, and what is needed of the real ones, computed once.

    Attributes:
        rows: the training rows, of one slot alone where it is made for one.
        columns, counts: their cells by column, and how often each occurs.
        levels, offsets: how the cells of each column are coded, and where its levels begin in `tables`.
        tables: `crossed` of the real rows.
    """

    def __init__(self, task: TableTask, slot: Slot) -> None:
        self.schema = task.schema
        self.rows = [row for row in task.train_rows if slot.takes(row, task.schema)]
        self.columns = self._by_column(self.rows)
        self.counts = [Counter(texts) for texts in self.columns]
        self.levels = [self._levels(place) for place in range(len(self.columns))]
        self.offsets = np.cumsum([0, *(each.n_levels for each in self.levels)])
        self.tables = self.crossed(self.coded(self.rows))
        self.multiplicities = Counter(Counter(self.rows).values())
        self.known = frozenset(self.rows)
        self.n_validation = len(task.validation)
        self.n_known = sum(row in self.known for row in task.schema.to_rows(task.validation))

    def _levels(self, place: int) -> Levels:
        column = self.schema.modelled[place]
        if not isinstance(column, CategoricalColumn):
            numbers = by_text(column.number, self.columns[place])
            numbers = numbers[~np.isnan(numbers)]
            cuts = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75], method="lower")) if len(numbers) else np.empty(0)
            cuts = cuts[cuts < numbers.max()] if len(numbers) else cuts
            return Levels(column, cuts, {}, len(cuts) + 2)
        frequent = [text for text, _ in self.counts[place].most_common() if text is not None][:MAX_LEVELS]
        return Levels(column, None, {text: i for i, text in enumerate(frequent, start=1)}, len(frequent) + 2)

    def coded(self, rows: Sequence[Row]) -> Ints:
        """Rows by columns, as levels."""
        return np.stack(
            [levels.coded(texts) for levels, texts in zip(self.levels, self._by_column(rows), strict=True)], 1
        )

    def _by_column(self, rows: Sequence[Row]) -> list[tuple[str | None, ...]]:
        return list(zip(*rows, strict=True)) if rows else [()] * len(self.schema.modelled)

    def crossed(self, cells: Ints) -> Floats:
        """How often each level of each column comes together with each level of each other, as one matrix."""
        hot = np.zeros((len(cells), self.offsets[-1]))
        hot[np.arange(len(cells))[:, None], cells + self.offsets[:-1]] = 1.0
        return np.asarray(hot.T @ hot)


_profiles: WeakKeyDictionary[TableTask, dict[Slot, Profile]] = WeakKeyDictionary()


def profile_of(task: TableTask, slot: Slot = ANY) -> Profile:
    """The profile of a task's training rows, or of those of one slot; made once."""
    of_task = _profiles.setdefault(task, {})
    if slot not in of_task:
        of_task[slot] = Profile(task, slot)
    return of_task[slot]
