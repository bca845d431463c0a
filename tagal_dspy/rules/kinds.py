"""The kinds of rules: SDV's constraints (`sdv.cag`) by their names, judged on values (`values_of`).

SDV judges whole frames, and takes up to 3 ms for one of a few rows. So the kinds that a file can express are judged
here, with SDV's meaning: missing values keep an order and a multiple, are values of their own in a combination, and
break a one-hot encoding. One thing differs: SDV's Inequality cuts texts in two formats to the coarser one, so that a
date equals any time on it; here it is its midnight, whatever the dtype. What is programmed in Python is left to SDV's
object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Annotated, Any, ClassVar, Literal, Union

import numpy as np
from pydantic import Field, PrivateAttr

from tagal_dspy.rules.base import BaseRule, Edge
from tagal_dspy.rules.programmed import Programmed
from tagal_dspy.rules.values import Values, values_of
from tagal_dspy.schema import CategoricalColumn, Column, NumericalColumn, Row, TableSchema

MAX_COMBINATIONS = 20
"""Combinations that a prompt lists; of more it only says that they are fixed."""

_BITS = {"1": 1, "True": 1, 1.0: 1, "0": 0, "False": 0, 0.0: 0}


class _Order(BaseRule):
    """Columns from low to high, each strictly above the one before where strict."""

    needs = "of numbers, dates or times of day"

    strict: bool

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The order among columns that the rule demands."""
        return tuple(Edge(low, high, self.strict) for low, high in pairwise(self.names))

    def suits(self, column: Column) -> bool:
        """Whether the rule can be about a column."""
        return bool(column.ordered_as)

    def unfit(self, schema: TableSchema) -> str:
        """Which of the rule's columns, all of which exist, the rule cannot be about, and why; empty where it can."""
        held = {name: schema[name].ordered_as for name in self.names}
        if not all(held.values()) or len(set(held.values())) == 1:
            return super().unfit(schema)
        listed = ", ".join(f"{name!r} holds {what}" for name, what in held.items())
        return f"{listed}; order columns that hold the same"

    def keep(self, values: Values) -> list[bool]:
        """Which rows keep the rule, by the values of its columns (see `values_of`)."""
        numbers = [values[name].astype(float) for name in self.names]
        against = [low >= high if self.strict else low > high for low, high in combinations(numbers, 2)]
        return list(~np.any(against, axis=0))  # no comparison with a missing value is true

    def _words(self, schema: TableSchema) -> tuple[str, str]:
        """What a value below another is called, and one above."""
        of_numbers = schema[self.names[0]].ordered_as == "numbers"
        return ("less", "greater") if of_numbers else ("earlier", "later")


class Inequality(_Order):
    """`low` is at most `high`, or less where strict: numbers, dates or times of day. Rows that lack one of them keep
    the rule.
    """

    parameters: ClassVar[dict[str, str]] = {
        "low_column_name": "low",
        "high_column_name": "high",
        "strict_boundaries": "strict",
    }

    kind: Literal["inequality"] = "inequality"
    low: str
    high: str
    strict: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the rule is about."""
        return self.low, self.high

    def sentence(self, schema: TableSchema) -> str:
        """The rule in words."""
        less, greater = self._words(schema)
        relation = f"always {less}" if self.strict else f"never {greater}"
        return f'"{self.low}" is {relation} than "{self.high}".'


class Range(_Order):
    """`middle` lies between `low` and `high`, strictly unless told otherwise. Each pair of them is compared that is
    there, so `low` and `high` also where `middle` is missing.
    """

    parameters: ClassVar[dict[str, str]] = {**Inequality.parameters, "middle_column_name": "middle"}

    kind: Literal["range"] = "range"
    low: str
    middle: str
    high: str
    strict: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the rule is about."""
        return self.low, self.middle, self.high

    def sentence(self, schema: TableSchema) -> str:
        """The rule in words."""
        less, greater = self._words(schema)
        if self.strict:
            return f'"{self.middle}" is always {greater} than "{self.low}" and {less} than "{self.high}".'
        return f'"{self.middle}" is never {less} than "{self.low}" and never {greater} than "{self.high}".'


class FixedIncrements(BaseRule):
    """`column` is a multiple of `increment`, or missing."""

    parameters: ClassVar[dict[str, str]] = {"column_name": "column", "increment_value": "increment"}

    kind: Literal["fixed-increments"] = "fixed-increments"
    column: str
    increment: int = Field(ge=1)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the rule is about."""
        return (self.column,)

    def sentence(self, schema: TableSchema) -> str:
        """The rule in words."""
        return f'"{self.column}" is always a multiple of {self.increment}.'

    def keep(self, values: Values) -> list[bool]:
        """Which rows keep the rule, by the values of its columns (see `values_of`)."""
        numbers = values[self.column].astype(float)
        return list(np.isnan(numbers) | (numbers % self.increment == 0))


class _OfSeveral(BaseRule):
    parameters: ClassVar[dict[str, str]] = {"column_names": "columns"}

    columns: tuple[str, ...] = Field(min_length=2)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the rule is about."""
        return self.columns

    def _rows(self, values: Values) -> Iterator[tuple[Any, ...]]:
        return zip(*(values[name].tolist() for name in self.columns), strict=True)

    @property
    def _listed(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)


class FixedCombinations(_OfSeveral):
    """The categories of `columns` stand together only as in a real row; a missing value is one of them.

    Until `fitted` to rows, no row breaks it.
    """

    needs = "categorical"

    kind: Literal["fixed-combinations"] = "fixed-combinations"
    _known: frozenset[Row] | None = PrivateAttr(default=None)

    def sentence(self, schema: TableSchema) -> str:
        """The rule in words."""
        if self._known is None or len(self._known) > MAX_COMBINATIONS:
            return f"{self._listed} stand together only in combinations that real rows have."
        known = sorted(tuple("missing" if cell is None else f'"{cell}"' for cell in each) for each in self._known)
        return f"{self._listed} stand together only as {', '.join('(' + ', '.join(each) + ')' for each in known)}."

    def suits(self, column: Column) -> bool:
        """Whether the rule can be about a column."""
        return column.is_closed

    def fitted(self, rows: Sequence[Row], schema: TableSchema) -> FixedCombinations:
        """The rule that knows the combinations of some rows."""
        rule = self.model_copy()
        rule._known = frozenset(self._rows(values_of(rows, schema, self.columns)))
        return rule

    def keep(self, values: Values) -> list[bool]:
        """Which rows keep the rule, by the values of its columns (see `values_of`)."""
        known = self._known
        return [known is None or each in known for each in self._rows(values)]


class OneHotEncoding(_OfSeveral):
    """Exactly one of `columns` is 1 (or true), the others are 0 (or false), none is missing."""

    needs = "of 0 and 1, or true and false"

    kind: Literal["one-hot-encoding"] = "one-hot-encoding"

    def sentence(self, schema: TableSchema) -> str:
        """The rule in words."""
        return f"Exactly one of {self._listed} is 1 (or true), the others are 0 (or false)."

    def suits(self, column: Column) -> bool:
        """Whether the rule can be about a column."""
        if isinstance(column, NumericalColumn):
            return column.decimals == 0 and 0 <= column.minimum <= column.maximum <= 1
        return isinstance(column, CategoricalColumn) and set(column.categories) <= _BITS.keys()

    def keep(self, values: Values) -> list[bool]:
        """Which rows keep the rule, by the values of its columns (see `values_of`)."""
        return [sum(_BITS.get(each, 2) for each in row) == 1 for row in self._rows(values)]


FileRule = Annotated[
    Union[Inequality, Range, FixedIncrements, FixedCombinations, OneHotEncoding], Field(discriminator="kind")
]
Rule = Union[Inequality, Range, FixedIncrements, FixedCombinations, OneHotEncoding, Programmed]
