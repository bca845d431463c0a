"""Rules that all real rows keep, and that would not hold by chance.

What chance would do is reckoned from the columns taken apart: were they independent, how many rows would break the
rule? The rule is worth saying when that many are absent that their absence is no accident (`SURPRISE`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tagal_dspy.rules.base import Edge
from tagal_dspy.rules.kinds import FixedCombinations, FixedIncrements, Inequality, Rule
from tagal_dspy.rules.order import follows
from tagal_dspy.rules.rules import Rules
from tagal_dspy.schema import CategoricalColumn, NumericalColumn, TableSchema
from tagal_dspy.task import TableTask

SURPRISE = 12.0
"""Rows that would break a rule by chance (or bits of chance, as natural logarithm) where none does: odds of e^-12."""

MAX_CELLS = 250_000
"""Possible combinations of two columns; pairs with more are passed over."""

MAX_COVERED = 0.6
"""Share of the possible combinations that may occur where they count as fixed."""

MIN_ABSENT = 0.05
"""Share of the rows that would have one of the absent combinations by chance; less is sparseness more than a rule."""

MAX_SEEN_ONCE = 0.005
"""Share of rows whose combination is theirs alone; it estimates how often a new row would have a new combination."""

_Numbers = np.ndarray[Any, np.dtype[np.float64]]
_Codes = np.ndarray[Any, np.dtype[np.int64]]


def suggest_rules(task: TableTask) -> Rules:
    """Rules that all training and validation rows keep and that say something: orders among numbers, multiples of a
    whole number, combinations of two categories.

    Orders that follow from others, or from the columns' ranges, are left out.
    """
    frame = pd.concat([task.train, task.validation], ignore_index=True)
    schema = task.schema
    numbers = {column.name: _rounded(frame, column) for column in schema.columns if isinstance(column, NumericalColumn)}
    codes = {column.name: _coded(frame, column) for column in schema.columns if isinstance(column, CategoricalColumn)}
    rules: list[Rule] = [*_inequalities(numbers, schema), *_increments(numbers, schema), *_fixed(codes)]
    return Rules(schema, tuple(rules))


def _rounded(frame: pd.DataFrame, column: NumericalColumn) -> _Numbers:
    """The column's values as its canonical text has them; NaN where missing."""
    values = pd.to_numeric(frame[column.name]).to_numpy(dtype=float, na_value=np.nan)
    return np.round(values, column.decimals)


def _inequalities(numbers: dict[str, _Numbers], schema: TableSchema) -> Iterator[Inequality]:
    edges = [edge for low, high in permutations(numbers, 2) if (edge := _order(low, high, numbers))]
    for edge in list(edges):
        never_missing = [each for each in edges if each != edge and not _nullable_between(each, edge, schema)]
        if follows(edge, never_missing):
            edges.remove(edge)
    return (Inequality(low=edge.low, high=edge.high, strict=edge.strict) for edge in edges)


def _nullable_between(step: Edge, edge: Edge, schema: TableSchema) -> bool:
    """Whether a step of a way from one end of `edge` to the other has a missing value in between: there it says
    nothing about the ends."""
    return any(schema[name].nullable for name in {step.low, step.high} - {edge.low, edge.high})


def _order(low: str, high: str, numbers: dict[str, _Numbers]) -> Edge | None:
    """Whether one column is never above the other, and not by chance."""
    below, above = numbers[low], numbers[high]
    if (below > above).any():  # False where one is missing
        return None
    both = ~(np.isnan(below) | np.isnan(above))
    below, above = below[both], np.sort(above[both])
    if not len(below):
        return None
    n_less = np.searchsorted(above, below, side="left").sum() / len(below)
    n_not_more = np.searchsorted(above, below, side="right").sum() / len(below)
    if n_less < SURPRISE:
        return None
    ties_by_chance = n_not_more - n_less
    strict = ties_by_chance >= SURPRISE and not (numbers[low] == numbers[high]).any()
    return Edge(low, high, bool(strict))


def _increments(numbers: dict[str, _Numbers], schema: TableSchema) -> Iterator[FixedIncrements]:
    for name, values in numbers.items():
        column = schema[name]
        unique = np.unique(values[~np.isnan(values)])
        if not isinstance(column, NumericalColumn) or column.decimals or np.abs(unique).max(initial=0) >= 2**53:
            continue
        increment = int(np.gcd.reduce(unique.astype(np.int64)))
        if increment > 1 and np.count_nonzero(unique) * np.log(increment) >= SURPRISE:
            yield FixedIncrements(column=name, increment=increment)


class _Coded(NamedTuple):
    """A categorical column as numbers from 0, missing values as the last one where there are any."""

    codes: _Codes
    n_codes: int


def _coded(frame: pd.DataFrame, column: CategoricalColumn) -> _Coded:
    codes, unique = pd.factorize(frame[column.name], use_na_sentinel=False)
    return _Coded(codes.astype(np.int64), len(unique))


def _fixed(columns: dict[str, _Coded]) -> Iterator[FixedCombinations]:
    for (first, one), (second, other) in combinations(columns.items(), 2):
        if one.n_codes * other.n_codes <= MAX_CELLS and _is_fixed(one, other):
            yield FixedCombinations(columns=(first, second))


def _is_fixed(one: _Coded, other: _Coded) -> bool:
    """Whether far fewer combinations occur than could, and hardly a new one is to be expected."""
    cells = one.codes * other.n_codes + other.codes
    counts = np.bincount(cells, minlength=one.n_codes * other.n_codes)
    n_rows = len(cells)
    if np.count_nonzero(counts) > MAX_COVERED * counts.size or (counts == 1).sum() > MAX_SEEN_ONCE * n_rows:
        return False
    expected = np.outer(_shares(one), _shares(other)).ravel() * n_rows
    absent = expected[counts == 0].sum()
    absent_by_chance = (expected * np.exp(-expected)).sum()
    return bool(absent - absent_by_chance >= max(SURPRISE, MIN_ABSENT * n_rows))


def _shares(column: _Coded) -> _Numbers:
    shares: _Numbers = np.bincount(column.codes, minlength=column.n_codes) / len(column.codes)
    return shares
