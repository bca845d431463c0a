"""The kinds of rules: SDV's constraints (`sdv.cag`) by their names, judged on canonical text.

SDV judges whole frames, and takes up to 3 ms for one of a few rows. So the kinds that a file can express are judged
here, with SDV's meaning: missing values keep an order and a multiple, are values of their own in a combination, and
break a one-hot encoding. What is programmed in Python is left to SDV's object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal, Union

from pydantic import Field, PrivateAttr

from tagal_dspy.rules.base import BaseRule, Edge
from tagal_dspy.rules.programmed import Programmed
from tagal_dspy.schema import CategoricalColumn, Column, NumericalColumn, Row, TableSchema

MAX_COMBINATIONS = 20
"""Combinations that a prompt lists; of more it only says that they are fixed."""

_BITS = {"1": 1, "True": 1, "0": 0, "False": 0}


class Inequality(BaseRule):
    """`low` is at most `high`, or less where strict. Rows that lack one of them keep the rule."""

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
        """See `BaseRule.names`."""
        return self.low, self.high

    @property
    def text(self) -> str:
        """See `BaseRule.text`."""
        relation = "always less than" if self.strict else "never greater than"
        return f'"{self.low}" is {relation} "{self.high}".'

    @property
    def edges(self) -> tuple[Edge, ...]:
        """See `BaseRule.edges`."""
        return (Edge(self.low, self.high, self.strict),)

    def keep(self, cells: Iterable[Row]) -> list[bool]:
        """See `BaseRule.keep`."""
        return [_in_order(low, high, self.strict) for low, high in cells]


class Range(BaseRule):
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
        """See `BaseRule.names`."""
        return self.low, self.middle, self.high

    @property
    def text(self) -> str:
        """See `BaseRule.text`."""
        if self.strict:
            return f'"{self.middle}" is always greater than "{self.low}" and less than "{self.high}".'
        return f'"{self.middle}" is never less than "{self.low}" and never greater than "{self.high}".'

    @property
    def edges(self) -> tuple[Edge, ...]:
        """See `BaseRule.edges`."""
        return Edge(self.low, self.middle, self.strict), Edge(self.middle, self.high, self.strict)

    def keep(self, cells: Iterable[Row]) -> list[bool]:
        """See `BaseRule.keep`."""
        strict = self.strict
        return [
            _in_order(low, middle, strict) and _in_order(middle, high, strict) and _in_order(low, high, strict)
            for low, middle, high in cells
        ]


class FixedIncrements(BaseRule):
    """`column` is a multiple of `increment`, or missing."""

    parameters: ClassVar[dict[str, str]] = {"column_name": "column", "increment_value": "increment"}

    kind: Literal["fixed-increments"] = "fixed-increments"
    column: str
    increment: int = Field(ge=1)

    @property
    def names(self) -> tuple[str, ...]:
        """See `BaseRule.names`."""
        return (self.column,)

    @property
    def text(self) -> str:
        """See `BaseRule.text`."""
        return f'"{self.column}" is always a multiple of {self.increment}.'

    def keep(self, cells: Iterable[Row]) -> list[bool]:
        """See `BaseRule.keep`."""
        return [cell is None or float(cell) % self.increment == 0 for (cell,) in cells]


class _OfSeveral(BaseRule):
    parameters: ClassVar[dict[str, str]] = {"column_names": "columns"}

    columns: tuple[str, ...] = Field(min_length=2)

    @property
    def names(self) -> tuple[str, ...]:
        """See `BaseRule.names`."""
        return self.columns

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

    @property
    def text(self) -> str:
        """See `BaseRule.text`."""
        if self._known is None or len(self._known) > MAX_COMBINATIONS:
            return f"{self._listed} stand together only in combinations that real rows have."
        known = sorted(tuple("missing" if cell is None else f'"{cell}"' for cell in each) for each in self._known)
        return f"{self._listed} stand together only as {', '.join('(' + ', '.join(each) + ')' for each in known)}."

    def suits(self, column: Column) -> bool:
        """See `BaseRule.suits`."""
        return isinstance(column, CategoricalColumn)

    def fitted(self, rows: Sequence[Row], schema: TableSchema) -> FixedCombinations:
        """The rule that knows the combinations of some rows."""
        rule = self.model_copy()
        rule._known = frozenset(self.cells(rows, schema))
        return rule

    def keep(self, cells: Iterable[Row]) -> list[bool]:
        """See `BaseRule.keep`."""
        known = self._known
        return [known is None or each in known for each in cells]


class OneHotEncoding(_OfSeveral):
    """Exactly one of `columns` is 1 (or true), the others are 0 (or false), none is missing."""

    needs = "of 0 and 1, or true and false"

    kind: Literal["one-hot-encoding"] = "one-hot-encoding"

    @property
    def text(self) -> str:
        """See `BaseRule.text`."""
        return f"Exactly one of {self._listed} is 1 (or true), the others are 0 (or false)."

    def suits(self, column: Column) -> bool:
        """See `BaseRule.suits`."""
        if isinstance(column, NumericalColumn):
            return column.decimals == 0 and 0 <= column.minimum <= column.maximum <= 1
        return isinstance(column, CategoricalColumn) and set(column.categories) <= _BITS.keys()

    def keep(self, cells: Iterable[Row]) -> list[bool]:
        """See `BaseRule.keep`."""
        return [sorted(_BITS.get(cell or "", 2) for cell in each) == [0] * (len(each) - 1) + [1] for each in cells]


FileRule = Annotated[
    Union[Inequality, Range, FixedIncrements, FixedCombinations, OneHotEncoding], Field(discriminator="kind")
]
Rule = Union[Inequality, Range, FixedIncrements, FixedCombinations, OneHotEncoding, Programmed]


def _in_order(low: str | None, high: str | None, strict: bool) -> bool:
    """Whether one number is at most the other, or less where strict, as far as both are there."""
    return low is None or high is None or (float(low) < float(high) if strict else float(low) <= float(high))
