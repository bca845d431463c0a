"""One comparison of a condition, ready to judge the cells of its column."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tagal_dspy.conditions.parser import Comparison, Value
from tagal_dspy.errors import ConditionError, nearest
from tagal_dspy.schema import (
    CategoricalColumn,
    CellError,
    DatetimeColumn,
    ModelledColumn,
    NumericalColumn,
    TableSchema,
    TextColumn,
    is_number,
)

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
        return self.comparison.operator in ("==", "in") and None in self.comparison.values

    @property
    def is_list(self) -> bool:
        """Whether it names the values that may be, rather than bounds or what may not be."""
        return self.comparison.operator in ("==", "in")

    @property
    def excludes(self) -> bool:
        """Whether it names the values that may not be."""
        return self.comparison.operator in ("!=", "not in")

    def met_by(self, cell: str | None) -> bool:
        """Whether a canonical cell meets it."""
        if cell is None:
            return self.takes_missing
        key = self.key(cell)
        compare = _ORDER.get(self.comparison.operator)
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
    read, key = _reader(column, ordered, comparison)
    values = frozenset(read(comparison, column, value) for value in present)
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


_Read = Callable[[Comparison, Any, Value], Any]


def _reader(column: ModelledColumn, ordered: bool, comparison: Comparison) -> tuple[_Read, Callable[[str], Any]]:
    """How values are read, and what cells are compared as."""
    if isinstance(column, NumericalColumn):
        return _number, Decimal
    if isinstance(column, DatetimeColumn):
        return _moment, column.number
    if ordered and isinstance(column, TextColumn):
        raise ConditionError(f"{comparison.text!r}: {column.name!r} holds texts; compare with ==, != or `in`")
    if isinstance(column, TextColumn):
        return _text, str
    if not ordered:
        return _category, str
    if not all(map(is_number, column.offered)):
        raise ConditionError(f"{comparison.text!r}: {column.name!r} holds categories; compare with ==, != or `in`")
    return _number, Decimal


def _number(comparison: Comparison, column: ModelledColumn, value: Value) -> Decimal:
    if isinstance(value, Decimal):
        return value
    advice = f"write {value.strip()} without quotes" if isinstance(value, str) and is_number(value) else "give a number"
    raise ConditionError(f"{comparison.text!r}: {comparison.column!r} holds numbers; {advice}")


def _category(comparison: Comparison, column: CategoricalColumn, value: Value) -> str:
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, Decimal) and "." in text:
        text = text.rstrip("0").rstrip(".")  # a category is written 1, not 1.0
    try:
        found = column.canonical(text)
    except CellError:
        found = None
    if found is not None:
        return found
    advice = nearest(text, column.offered) if text.strip() else "a missing value is written missing, without quotes"
    raise ConditionError(f"{comparison.text!r}: {column.name!r} has no category {text[:40]!r}; {advice}")


def _moment(comparison: Comparison, column: DatetimeColumn, value: Value) -> float:
    """Seconds; a date or time in ISO form will do, whatever the column's format."""
    with suppress(ValueError):
        return column.number(str(value))
    try:
        return column.number(column.moments.write(datetime.fromisoformat(str(value))))
    except ValueError:
        like = f"'{column.minimum}'"
        raise ConditionError(f"{comparison.text!r}: {column.name!r} holds moments; write one like {like}") from None


def _text(comparison: Comparison, column: TextColumn, value: Value) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ConditionError(f"{comparison.text!r}: {column.name!r} holds texts; give one in quotes")
