"""The kinds of rules: SDV's constraints (`sdv.cag`) by their names, judged on canonical text.

SDV judges whole frames, and takes up to 3 ms for one of a few rows. So the kinds that a file can express are judged
here, with SDV's meaning: missing values keep an order and a multiple, are values of their own in a combination, and
break a one-hot encoding. What is programmed in Python is left to SDV's object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Union

from pydantic import Field, PrivateAttr

from tagal_dspy.rules.base import BaseRule, Edge
from tagal_dspy.rules.programmed import Programmed
from tagal_dspy.schema import CategoricalColumn, NumericalColumn, Row, TableSchema

MAX_COMBINATIONS = 20
"""Combinations that a prompt lists; of more it only says that they are fixed."""

Combination = tuple[Union[str, None], ...]
_BITS = {"1": 1, "True": 1, "0": 0, "False": 0}


class Inequality(BaseRule):
    """`low` is at most `high`, or less where strict. Rows that lack one of them keep the rule."""

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

    def unfit(self, schema: TableSchema) -> str:
        """See `BaseRule.unfit`."""
        return _without_numbers(self.names, schema)

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """See `BaseRule.kept_by`."""
        pairs = zip(*(_numbers(name, rows, schema) for name in self.names), strict=True)
        return [_ordered(low, high, self.strict) for low, high in pairs]

    def constraint(self) -> Any:
        """See `BaseRule.constraint`."""
        from sdv import cag

        return cag.Inequality(self.low, self.high, strict_boundaries=self.strict)


class Range(BaseRule):
    """`middle` lies between `low` and `high`, strictly unless told otherwise. Each pair of them is compared that is
    there, so `low` and `high` also where `middle` is missing.
    """

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

    def unfit(self, schema: TableSchema) -> str:
        """See `BaseRule.unfit`."""
        return _without_numbers(self.names, schema)

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """See `BaseRule.kept_by`."""
        triples = zip(*(_numbers(name, rows, schema) for name in self.names), strict=True)
        return [
            _ordered(low, middle, self.strict)
            and _ordered(middle, high, self.strict)
            and _ordered(low, high, self.strict)
            for low, middle, high in triples
        ]

    def constraint(self) -> Any:
        """See `BaseRule.constraint`."""
        from sdv import cag

        return cag.Range(self.low, self.middle, self.high, strict_boundaries=self.strict)


class FixedIncrements(BaseRule):
    """`column` is a multiple of `increment`, or missing."""

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

    def unfit(self, schema: TableSchema) -> str:
        """See `BaseRule.unfit`."""
        return _without_numbers(self.names, schema)

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """See `BaseRule.kept_by`."""
        numbers = _numbers(self.column, rows, schema)
        return [number is None or number % self.increment == 0 for number in numbers]

    def constraint(self) -> Any:
        """See `BaseRule.constraint`."""
        from sdv import cag

        return cag.FixedIncrements(self.column, self.increment)


class _OfSeveral(BaseRule):
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

    kind: Literal["fixed-combinations"] = "fixed-combinations"
    _known: frozenset[Combination] | None = PrivateAttr(default=None)

    @property
    def text(self) -> str:
        """See `BaseRule.text`."""
        if self._known is None or len(self._known) > MAX_COMBINATIONS:
            return f"{self._listed} stand together only in combinations that real rows have."
        known = sorted(tuple("missing" if cell is None else f'"{cell}"' for cell in each) for each in self._known)
        return f"{self._listed} stand together only as {', '.join('(' + ', '.join(each) + ')' for each in known)}."

    def fitted(self, rows: Sequence[Row], schema: TableSchema) -> FixedCombinations:
        """The rule that knows the combinations of some rows."""
        rule = self.model_copy()
        rule._known = frozenset(_combinations(self.columns, rows, schema))
        return rule

    def unfit(self, schema: TableSchema) -> str:
        """See `BaseRule.unfit`."""
        wrong = [name for name in self.columns if not isinstance(schema[name], CategoricalColumn)]
        return f"{_listed(wrong)} not categorical" if wrong else ""

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """See `BaseRule.kept_by`."""
        known = self._known
        return [known is None or each in known for each in _combinations(self.columns, rows, schema)]

    def constraint(self) -> Any:
        """See `BaseRule.constraint`."""
        from sdv import cag

        return cag.FixedCombinations(list(self.columns))


class OneHotEncoding(_OfSeveral):
    """Exactly one of `columns` is 1 (or true), the others are 0 (or false), none is missing."""

    kind: Literal["one-hot-encoding"] = "one-hot-encoding"

    @property
    def text(self) -> str:
        """See `BaseRule.text`."""
        return f"Exactly one of {self._listed} is 1 (or true), the others are 0 (or false)."

    def unfit(self, schema: TableSchema) -> str:
        """See `BaseRule.unfit`."""
        wrong = [name for name in self.columns if not _holds_bits(schema, name)]
        return f"{_listed(wrong)} not of 0 and 1, or true and false" if wrong else ""

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """See `BaseRule.kept_by`."""
        places = [schema.names.index(name) for name in self.columns]
        bits = ([_BITS.get(row[place] or "") for place in places] for row in rows)
        return [None not in each and sum(filter(None, each)) == 1 for each in bits]

    def constraint(self) -> Any:
        """See `BaseRule.constraint`."""
        from sdv import cag

        return cag.OneHotEncoding(list(self.columns))


FileRule = Annotated[
    Union[Inequality, Range, FixedIncrements, FixedCombinations, OneHotEncoding], Field(discriminator="kind")
]
Rule = Union[Inequality, Range, FixedIncrements, FixedCombinations, OneHotEncoding, Programmed]


def holds_numbers(schema: TableSchema, name: str) -> bool:
    """Whether cells of a column can be read as numbers; a column of two numbers is categorical and can, too."""
    column = schema[name]
    if isinstance(column, NumericalColumn):
        return True
    return isinstance(column, CategoricalColumn) and all(map(_is_number, column.categories))


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _without_numbers(names: Sequence[str], schema: TableSchema) -> str:
    wrong = [name for name in names if not holds_numbers(schema, name)]
    return f"{_listed(wrong)} not of numbers" if wrong else ""


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names))} {'is' if len(names) == 1 else 'are'}"


def _holds_bits(schema: TableSchema, name: str) -> bool:
    column = schema[name]
    if isinstance(column, NumericalColumn):
        return column.decimals == 0 and 0 <= column.minimum <= column.maximum <= 1
    return isinstance(column, CategoricalColumn) and set(column.categories) <= _BITS.keys()


def _numbers(name: str, rows: Sequence[Row], schema: TableSchema) -> Iterator[float | None]:
    place = schema.names.index(name)
    cells = (row[place] for row in rows)
    return (None if cell is None else float(cell) for cell in cells)


def _combinations(names: Sequence[str], rows: Sequence[Row], schema: TableSchema) -> Iterator[Combination]:
    places = [schema.names.index(name) for name in names]
    return (tuple([row[place] for place in places]) for row in rows)


def _ordered(low: float | None, high: float | None, strict: bool) -> bool:
    return low is None or high is None or low < high or (low == high and not strict)
