"""One comparison of a condition, ready to judge the cells of its column."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tagal_dspy.conditions.parser import Comparison
from tagal_dspy.errors import ConditionError, nearest
from tagal_dspy.schema import ModelledColumn, TableSchema

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class CellTest:
    """A comparison with its values in the form that cells are compared in.

    Attributes:
        position: of the cell in a row.
        comparison: as it was written.
        values: numbers, seconds, categories or texts.
        key: what a cell is compared as.
    """

    position: int
    comparison: Comparison
    values: frozenset[Any]
    key: Callable[[str], Any] = field(compare=False)

    @property
    def takes_missing(self) -> bool:
        """A missing value meets only what asks for it, as in SQL; even `!=` is not met."""
        return self.operator in ("==", "in") and None in self.comparison.values

    @property
    def operator(self) -> str:
        """Such as `<=`."""
        return self.comparison.operator

    @property
    def is_list(self) -> bool:
        """Whether it names the values that may be, rather than bounds or what may not be."""
        return self.operator in ("==", "in")

    @property
    def excludes(self) -> bool:
        """Whether it names the values that may not be."""
        return self.operator in ("!=", "not in")

    def met_by(self, cell: str | None) -> bool:
        """Whether a canonical cell meets it."""
        if cell is None:
            return self.takes_missing
        key = self.key(cell)
        compare = _ORDER.get(self.operator)
        if compare is not None:
            return all(compare(key, value) for value in self.values)
        return (key in self.values) == self.is_list


def test_of(schema: TableSchema, comparison: Comparison) -> CellTest:
    """The comparison with its values in the form of the column's cells; raises `ConditionError`."""
    column = column_of(schema, comparison)
    ordered = comparison.operator in _ORDER
    present = [value for value in comparison.values if value is not None]
    if ordered and not present:
        raise ConditionError(f"{comparison.text!r}: a missing value has no order; use `is missing`")
    asks_for_missing = comparison.operator in ("==", "in") and None in comparison.values
    if asks_for_missing and not column.nullable:
        raise ConditionError(f"{comparison.text!r}: {column.name!r} is never missing in the real table")
    try:
        values = frozenset(column.comparable(value, ordered=ordered) for value in present)
    except ValueError as error:
        raise ConditionError(f"{comparison.text!r}: {column.name!r} {error}") from None
    key = Decimal if ordered and column.is_closed else column.key
    return CellTest(schema.names.index(comparison.column), comparison, values, key)


def equals(schema: TableSchema, comparison: Comparison) -> CellTest:
    """The test that a cell is exactly the one text of the comparison."""
    return CellTest(schema.names.index(comparison.column), comparison, frozenset(comparison.values), str)


def column_of(schema: TableSchema, comparison: Comparison) -> ModelledColumn:
    """The column that is compared; raises `ConditionError`."""
    for column in schema.modelled:
        if column.name == comparison.column:
            return column
    raise ConditionError(
        f"the condition {comparison.text!r} names no column of the table: {nearest(comparison.column, schema.names)}"
    )
