"""The real rows as levels: every cell a small number, so that rows are compared by counting.

Numbers, dates and lengths of texts fall into quantile bins, frequent categories count one by one and rare ones
together, a missing value is a level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from tagal_dspy.conditions import ANY, Slot, closest_rows
from tagal_dspy.schema import ModelledColumn, Row
from tagal_dspy.task import TableTask


class Grain(NamedTuple):
    """Bins of a number, with equally many real rows each, and categories that count one by one; rarer ones count
    together."""

    n_bins: int
    n_categories: int


COARSE = Grain(n_bins=4, n_categories=6)
FINE = Grain(n_bins=10, n_categories=20)

MAX_CROSSED = 60
"""Columns that are crossed with all others. Of a wider table they are the target and columns at equal distances: work
and memory then grow with the number of columns, not with its square."""

N_AT_ONCE = 2_000
"""Rows that are crossed at once, so that memory does not grow with the rows."""

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
        if self.column.is_closed:
            return np.empty(0)
        return np.asarray(by_text(self.column.number, texts), dtype=float)

    def limit(self, cut: int) -> str:
        """The bound between two bins, as it is written; empty where there are none."""
        if self.cuts is None:
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
        rows: the training rows; those of one slot, or closest to it, where it is made for one.
        columns, counts: their cells by column, and how often each occurs.
        levels, offsets: how the cells of each column are coded, and where its levels begin among those of all columns.
        crossed_columns: places of the columns that are crossed with all others; all of them up to `MAX_CROSSED`.
        pairs: places of the columns whose relation is measured: pairs of crossed columns, and of the target with all.
        marginals: how often each level of each column occurs in the real rows.
        tables: `crossed` of the real rows.
    """

    def __init__(self, task: TableTask, slot: Slot, grain: Grain) -> None:
        self.schema, self.grain = task.schema, grain
        self.rows = [task.train_rows[place] for place in closest_rows(task, slot)]
        self.columns = self._by_column(self.rows)
        self.counts = [Counter(texts) for texts in self.columns]
        self.levels = [self._levels(place) for place in range(len(self.columns))]
        self.offsets = np.cumsum([0, *(each.n_levels for each in self.levels)])
        self.crossed_columns = _crossed_columns(len(self.levels), self.target)
        self.pairs = self._pairs()
        sizes = [self.levels[place].n_levels for place in self.crossed_columns]
        self._starts = dict(zip(self.crossed_columns, np.cumsum([0, *sizes]).tolist(), strict=False))
        of_columns = np.repeat(range(len(self.levels)), np.diff(self.offsets))
        self._crossed_levels = np.isin(of_columns, self.crossed_columns)
        cells = self.coded(self.rows)
        self.marginals = np.bincount((cells + self.offsets[:-1]).ravel(), minlength=self.offsets[-1])
        self.tables = self.crossed(cells)
        self.multiplicities = Counter(Counter(self.rows).values())
        self.known = frozenset(self.rows)
        self.n_validation = len(task.validation)
        self.n_known = sum(row in self.known for row in task.schema.to_rows(task.validation))

    @property
    def target(self) -> int | None:
        """Place of the target; None without one."""
        return None if self.schema.target is None else self.schema.names.index(self.schema.target)

    def _pairs(self) -> list[tuple[int, int]]:
        n_columns, targets = len(self.levels), [] if self.target is None else [self.target]
        with_target = {(min(place, at), max(place, at)) for at in targets for place in range(n_columns) if place != at}
        return sorted({*combinations(self.crossed_columns, 2), *with_target})

    def _levels(self, place: int) -> Levels:
        column = self.schema.modelled[place]
        if not column.is_closed:
            numbers = by_text(column.number, self.columns[place])
            numbers = numbers[~np.isnan(numbers)]
            inner = np.arange(1, self.grain.n_bins) / self.grain.n_bins
            cuts = np.unique(np.quantile(numbers, inner, method="lower")) if len(numbers) else np.empty(0)
            cuts = cuts[cuts < numbers.max()] if len(numbers) else cuts
            return Levels(column, cuts, {}, len(cuts) + 2)
        frequent = [text for text, _ in self.counts[place].most_common() if text is not None]
        frequent = frequent[: self.grain.n_categories]
        return Levels(column, None, {text: i for i, text in enumerate(frequent, start=1)}, len(frequent) + 2)

    def coded(self, rows: Sequence[Row]) -> Ints:
        """Rows by columns, as levels."""
        return np.stack(
            [levels.coded(texts) for levels, texts in zip(self.levels, self._by_column(rows), strict=True)], 1
        )

    def _by_column(self, rows: Sequence[Row]) -> list[tuple[str | None, ...]]:
        return list(zip(*rows, strict=True)) if rows else [()] * len(self.schema.modelled)

    def crossed(self, cells: Ints, weights: Floats | None = None) -> Floats:
        """How often each level of the crossed columns comes together with each level of each column, as one matrix;
        rows count as often as their weights say."""
        tables = np.zeros((self._crossed_levels.sum(), self.offsets[-1]))
        for start in range(0, len(cells), N_AT_ONCE):
            part = cells[start : start + N_AT_ONCE]
            hot = np.zeros((len(part), self.offsets[-1]))
            hot[np.arange(len(part))[:, None], part + self.offsets[:-1]] = 1.0
            crossed = hot[:, self._crossed_levels].T
            tables += (crossed if weights is None else crossed * weights[start : start + N_AT_ONCE]) @ hot
        return tables

    def block(self, tables: Floats, a: int, b: int) -> Floats:
        """The part of `crossed` tables that two columns have, one of which is crossed."""
        if a not in self._starts:
            return np.transpose(self.block(tables, b, a))
        start = self._starts[a]
        part: Floats = tables[start : start + self.levels[a].n_levels, self.offsets[b] : self.offsets[b + 1]]
        return part


def _crossed_columns(n_columns: int, target: int | None) -> list[int]:
    if n_columns <= MAX_CROSSED:
        return list(range(n_columns))
    spread = [place * n_columns // (MAX_CROSSED - 1) for place in range(MAX_CROSSED - 1)]
    return sorted({*spread, *([] if target is None else [target])})


_profiles: WeakKeyDictionary[TableTask, dict[tuple[Slot, Grain], Profile]] = WeakKeyDictionary()


def profile_of(task: TableTask, slot: Slot = ANY, grain: Grain = COARSE) -> Profile:
    """The profile of a task's training rows, or of those of one slot; made once."""
    of_task = _profiles.setdefault(task, {})
    if (slot, grain) not in of_task:
        of_task[slot, grain] = Profile(task, slot, grain)
    return of_task[slot, grain]
