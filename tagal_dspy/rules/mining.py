"""Rules that all real rows keep, and that would not hold by chance.

What chance would do is reckoned from the columns taken apart: were they independent, how many rows would break the
rule? The rule is worth saying when that many are absent that their absence is not an accident (`SURPRISE`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tagal_dspy.rules.kinds import FixedCombinations, FixedIncrements, Inequality, Rule
from tagal_dspy.rules.order import Mask, implied
from tagal_dspy.rules.rules import Rules
from tagal_dspy.rules.values import known_rows, values_of
from tagal_dspy.schema import NumericalColumn, TableSchema
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

N_LOOKED_AT = 1_000
"""Rows that rule out most orders, before all rows are looked at."""

_Numbers = np.ndarray[Any, np.dtype[np.float64]]
_Codes = np.ndarray[Any, np.dtype[np.int64]]


def suggest_rules(task: TableTask) -> Rules:
    """Rules that all training and validation rows keep and that say something: orders among numbers, dates or times of
    day, multiples of a whole number, combinations of two categories.

    Orders that follow from others, or from the columns' ranges, are left out.
    """
    schema = task.schema
    values = values_of(known_rows(task), schema, schema.names)
    numbers = {name: column for name, column in values.items() if column.dtype == float}
    codes = {name: _coded(values[name]) for name in schema.names if schema[name].is_closed}
    rules: list[Rule] = [*_inequalities(numbers, schema), *_increments(numbers, schema), *_fixed(codes)]
    return Rules(schema, tuple(rules))


def _inequalities(numbers: dict[str, _Numbers], schema: TableSchema) -> Iterator[Inequality]:
    """Orders among the columns that hold the same: numbers, dates or times of day."""
    groups: dict[str, dict[str, _Numbers]] = {}
    for name, values in numbers.items():
        groups.setdefault(schema[name].ordered_as, {})[name] = values
    for group in groups.values():
        yield from _inequalities_among(group, schema)


def _inequalities_among(numbers: dict[str, _Numbers], schema: TableSchema) -> Iterator[Inequality]:
    names, values = list(numbers), list(numbers.values())
    order, strict = _orders(values)
    twins = _twins(values)
    kept = order.copy()
    for twin in twins:
        kept[twin] = kept[:, twin] = False
    # By way of a missing value, nothing is said about the ends.
    passable = [not (schema[name].nullable or np.isnan(numbers[name]).any()) for name in names]
    kept &= ~implied(kept, strict & kept, np.array(passable, dtype=bool))
    for twin, last in twins.items():
        kept[twin, last], kept[last, twin] = order[twin, last], order[last, twin]
    return (Inequality(low=names[a], high=names[b], strict=bool(strict[a, b])) for a, b in np.argwhere(kept))


def _twins(values: Sequence[_Numbers]) -> dict[int, int]:
    """Columns that equal a later one, and the last that they equal; it alone is compared with others."""
    texts = [(each + 0.0).tobytes() for each in values]  # makes -0.0 the same as 0.0
    last = {text: place for place, text in enumerate(texts) if not np.isnan(values[place]).any()}
    return {place: last[text] for place, text in enumerate(texts) if last.get(text, place) != place}


def _orders(values: Sequence[_Numbers]) -> tuple[Mask, Mask]:
    """Of each two columns, whether the first is never above the second, or always below, and not by chance."""
    order = np.zeros((len(values), len(values)), dtype=bool)
    strict = np.zeros_like(order)
    heads, ordered = np.array([each[:N_LOOKED_AT] for each in values]), [np.sort(each) for each in values]
    least = np.array([np.fmin.reduce(each, initial=np.inf) for each in values])  # fmin and fmax pass over NaN
    for low, head in enumerate(heads):
        overlap = least < np.fmax.reduce(values[low], initial=-np.inf)
        for high in np.flatnonzero(overlap & ~(head > heads).any(axis=1)).tolist():
            if high != low:
                pair = values[low], values[high], ordered[low], ordered[high]
                order[low, high], strict[low, high] = _order(*pair)
    return order, strict


def _order(low: _Numbers, high: _Numbers, ordered_low: _Numbers, ordered_high: _Numbers) -> tuple[bool, bool]:
    """Whether one column is never above the other, and whether always below, and not by chance."""
    if (low > high).any():  # False where one is missing
        return False, False
    both = ~(np.isnan(low) | np.isnan(high))
    below, above = (ordered_low, ordered_high) if both.all() else (low[both], np.sort(high[both]))
    n_less = np.searchsorted(above, below, side="left").sum() / max(1, len(below))
    if n_less < SURPRISE:
        return False, False
    ties_by_chance = np.searchsorted(above, below, side="right").sum() / len(below) - n_less
    return True, bool(ties_by_chance >= SURPRISE and not (low == high).any())


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


def _coded(values: np.ndarray[Any, Any]) -> _Coded:
    codes, unique = pd.factorize(values, use_na_sentinel=False)
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
