"""What comparisons leave of a column, for grammars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from tagal_dspy.conditions.comparing import CellTest
from tagal_dspy.errors import ConditionError
from tagal_dspy.schema import CategoricalColumn, CellError, DatetimeColumn, ModelledColumn, NumericalColumn, TextColumn


def narrowed_by_all(column: ModelledColumn, tests: Sequence[CellTest]) -> ModelledColumn | None:
    """The column with what all tests leave of it, None where that is missing values alone; raises `ConditionError`."""
    for some in [[test] for test in tests] + [list(tests)]:
        left = _left_of(column, some)
        if left is None and not all(test.takes_missing for test in some):
            texts = ", ".join(repr(test.comparison.text) for test in some)
            if len(some) > 1:
                raise ConditionError(f"no value of {column.name!r} meets all of {texts}: they contradict each other")
            raise ConditionError(f"no row can meet {texts}: in the real table {column.name!r} is {_described(column)}")
    return left


def _left_of(column: ModelledColumn, tests: Sequence[CellTest]) -> ModelledColumn | None:
    """The column narrowed to the present values that meet the tests; None where there are none."""
    missing_share = column.missing_share if all(test.takes_missing for test in tests) else 0.0
    if isinstance(column, NumericalColumn):
        bounds = _bounds(column, tests)
        changed = None if bounds is None else {"minimum": bounds[0], "maximum": bounds[1], **_UNKNOWN}
    elif isinstance(column, CategoricalColumn):
        changed = _categories([each for each in column.offered if all(test.met_by(each) for test in tests)])
    elif any(test.is_list for test in tests):
        return _listed(column, tests, missing_share)
    elif isinstance(column, DatetimeColumn):
        changed = _range(column, tests)
    else:
        changed = {}
    if changed is None:
        return None
    return type(column).model_validate({**column.model_dump(), **changed, "missing_share": missing_share})


_UNKNOWN = {"mean": None, "std": None, "median": None}
"""Statistics of the whole column, which are not those of a part."""


def _categories(left: Sequence[str]) -> dict[str, Any] | None:
    return {"categories": left, "shares": ()} if left else None


def _listed(
    column: DatetimeColumn | TextColumn, tests: Sequence[CellTest], missing_share: float
) -> CategoricalColumn | None:
    """The moments or texts that the tests name, as a closed set."""
    named = {value for test in tests if test.is_list for value in test.values}
    texts = sorted(column.shown(value) if isinstance(column, DatetimeColumn) else value for value in named)
    fitting = tuple(text for text in texts if all(test.met_by(text) for test in tests) and _takes(column, text))
    if not fitting:
        return None
    kept = {"name": column.name, "dtype": column.dtype, "description": column.description}
    return CategoricalColumn.model_validate({**kept, "categories": fitting, "missing_share": missing_share})


def _takes(column: DatetimeColumn | TextColumn, text: str) -> bool:
    try:
        return column.canonical(text) is not None
    except CellError:
        return False


def _range(column: DatetimeColumn, tests: Sequence[CellTest]) -> dict[str, Any] | None:
    """The first and the last moment that may meet the tests; one that just may not is left to the filter."""
    above = [value for test in tests for value in test.values if test.comparison.operator in (">", ">=")]
    below = [value for test in tests for value in test.values if test.comparison.operator in ("<", "<=")]
    low, high = max([column.number(column.minimum), *above]), min([column.number(column.maximum), *below])
    return {"minimum": column.shown(low), "maximum": column.shown(high)} if low <= high else None


def _bounds(column: NumericalColumn, tests: Sequence[CellTest]) -> tuple[float, float] | None:
    """The smallest and the largest number of the column that meet the tests.

    Reckoned in whole steps of the column's last decimal, so that nothing is lost to rounding.
    """
    steps = 10**column.decimals
    low, high = (round(Fraction(column.text(bound)) * steps) for bound in (column.minimum, column.maximum))
    wanted: set[Fraction] | None = None
    unwanted: set[Fraction] = set()
    for test in tests:
        values = {Fraction(value) * steps for value in test.values}
        if test.excludes:
            unwanted |= values
        elif test.is_list:
            wanted = values if wanted is None else wanted & values
        else:
            low, high = _cut(low, high, test.comparison.operator, values.pop())
    if wanted is not None:
        left = [round(each) for each in wanted - unwanted if each.denominator == 1 and low <= each <= high]
        low, high = (min(left), max(left)) if left else (1, 0)
    while low in unwanted:
        low += 1
    while high in unwanted:
        high -= 1
    return (float(Fraction(low, steps)), float(Fraction(high, steps))) if low <= high else None


def _cut(low: int, high: int, sign: str, value: Fraction) -> tuple[int, int]:
    """The steps from `low` to `high` on one side of a value."""
    if sign == ">=":
        return max(low, math.ceil(value)), high
    if sign == ">":
        return max(low, math.floor(value) + 1), high
    if sign == "<=":
        return low, min(high, math.floor(value))
    return low, min(high, math.ceil(value) - 1)


def _described(column: ModelledColumn) -> str:
    if isinstance(column, NumericalColumn):
        kind = "a whole number" if column.decimals == 0 else f"a number with {column.decimals} decimals"
        return f"{kind} from {column.text(column.minimum)} to {column.text(column.maximum)}"
    if isinstance(column, DatetimeColumn):
        return f"a moment from {column.minimum} to {column.maximum}"
    if isinstance(column, TextColumn):
        return f"a text of up to {column.max_length} characters"
    return f"one of {len(column.offered)} categories" + (", or missing" if column.nullable else "")
