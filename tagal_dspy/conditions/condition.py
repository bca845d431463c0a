"""`Condition`: comparisons that suit a table, the columns they leave, and the rows that meet them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Union

from tagal_dspy.conditions.parser import Comparison, Value, parse_comparisons
from tagal_dspy.errors import ConditionError, nearest
from tagal_dspy.schema import CategoricalColumn, CellError, ModelledColumn, NumericalColumn, Row, TableSchema
from tagal_dspy.task import TableTask

_Comparable = Union[NumericalColumn, CategoricalColumn]

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class _Test:
    """A comparison with its values in the form of the cells: numbers, or categories."""

    position: int
    comparison: Comparison
    values: frozenset[Any]
    by_number: bool

    @property
    def takes_missing(self) -> bool:
        """A missing value meets only what asks for it, as in SQL; even `!=` is not met."""
        return self.comparison.operator in ("==", "in") and None in self.comparison.values

    def met_by(self, cell: str | None) -> bool:
        if cell is None:
            return self.takes_missing
        key = Decimal(cell) if self.by_number else cell
        compare = _ORDER.get(self.comparison.operator)
        if compare is not None:
            return all(compare(key, value) for value in self.values)
        return (key in self.values) == (self.comparison.operator in ("==", "in"))


@dataclass(frozen=True)
class Condition:
    """What every row must meet, such as `age >= 30 and income == '>50K'`.

    A missing value meets `is missing` and nothing else, unless the list behind `in` names it.

    Attributes:
        text: as the user wrote it.
        comparisons: its parts.
        narrowed: by name, the columns that the condition is about, with the bounds and categories that it leaves; for
            grammars. A column that must be missing is not among them: no column kind holds missing values alone.

    >>> import pandas as pd
    >>> schema = TableSchema.infer(pd.DataFrame({"age": [17, 42, 90], "job": ["cook", "smith", "cook"]}))
    >>> condition = Condition.parse("age > 30 and job != 'cook'", schema)
    >>> condition.narrowed["age"].minimum, condition.narrowed["job"].categories
    (31.0, ('smith',))
    >>> condition.holds(("42", "smith")), condition.holds(("42", "cook"))
    (True, False)
    """

    text: str
    comparisons: tuple[Comparison, ...]
    narrowed: dict[str, ModelledColumn] = field(compare=False)
    _tests: tuple[_Test, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str, schema: TableSchema) -> Condition:
        """Read a condition on a table's columns; see `tagal_dspy.conditions.parser` for how it is written.

        Raises:
            ConditionError: it cannot be read, names an unknown column or category, compares with a value of another
                type, or no row within the table's ranges can meet it.
        """
        comparisons = parse_comparisons(text)
        tests = tuple(_test(schema, comparison) for comparison in comparisons)
        narrowed: dict[str, ModelledColumn] = {}
        for whole in {each.column: _column(schema, each) for each in comparisons}.values():
            column = _narrowed_by_all(whole, [test for test in tests if test.comparison.column == whole.name])
            if column is not None:
                narrowed[whole.name] = column
        return cls(text, comparisons, narrowed, tests)

    @classmethod
    def known(cls, cells: Mapping[str, str], schema: TableSchema) -> Condition:
        """The condition that these columns hold exactly these cells, given as canonical text; of any kind but ids.

        >>> import pandas as pd
        >>> schema = TableSchema.infer(pd.DataFrame({"age": [17, 42, 90], "job": ["cook", "smith", "cook"]}))
        >>> Condition.known({"age": "42", "job": "cook"}, schema).text
        "age == '42' and job == 'cook'"
        """
        quoted = {name: "'" + cell.replace("'", "''") + "'" for name, cell in cells.items()}
        comparisons = tuple(
            Comparison(name, "==", (cell,), f"{name} == {quoted[name]}") for name, cell in cells.items()
        )
        tests = tuple(_made(schema, each, [cells[each.column]], False) for each in comparisons)
        narrowed: dict[str, ModelledColumn] = {
            name: CategoricalColumn(name=name, dtype=schema[name].dtype, categories=(cell,))
            for name, cell in cells.items()
        }
        return cls(" and ".join(each.text for each in comparisons), comparisons, narrowed, tests)

    def holds(self, row: Row) -> bool:
        """Whether a row of canonical text, in the schema's order, meets the condition."""
        return all(test.met_by(row[test.position]) for test in self._tests)

    def check(self, task: TableTask) -> None:
        """Raise `ConditionError` when no training row meets the condition: there would be nothing to go by."""
        if any(map(self.holds, task.train_rows)):
            return
        counts = [
            f"{sum(test.met_by(row[test.position]) for row in task.train_rows)} rows meet {test.comparison.text}"
            for test in self._tests
        ]
        alone = f" ({', '.join(counts)}; none meets all of it)" if len(counts) > 1 else ""
        raise ConditionError(
            f"no training row of the table meets the condition {self.text!r}{alone}; ask for rows that the table has"
        )


def _test(schema: TableSchema, comparison: Comparison) -> _Test:
    """The comparison with its values in the form of the column's cells; raises `ConditionError`."""
    column = _column(schema, comparison)
    ordered = comparison.operator in _ORDER
    present = [value for value in comparison.values if value is not None]
    if ordered and not present:
        raise ConditionError(f"{comparison.text!r}: a missing value has no order; use `is missing`")
    asks_for_missing = comparison.operator in ("==", "in") and None in comparison.values
    if asks_for_missing and not column.nullable:
        raise ConditionError(f"{comparison.text!r}: {column.name!r} is never missing in the real table")
    if isinstance(column, NumericalColumn):
        return _made(schema, comparison, [_number(comparison, value) for value in present], True)
    if not ordered:
        return _made(schema, comparison, [_category(comparison, column, value) for value in present], False)
    if not all(map(_is_number, column.offered)):
        raise ConditionError(f"{comparison.text!r}: {column.name!r} holds categories; compare with ==, != or `in`")
    return _made(schema, comparison, [_number(comparison, value) for value in present], True)


def _column(schema: TableSchema, comparison: Comparison) -> _Comparable:
    """The column that is compared; raises `ConditionError`."""
    if comparison.column not in schema.names:
        raise ConditionError(
            f"the condition {comparison.text!r} names no column of the table: "
            f"{nearest(comparison.column, schema.names)}"
        )
    column = schema[comparison.column]
    if not isinstance(column, (NumericalColumn, CategoricalColumn)):
        raise ConditionError(f"{comparison.text!r}: conditions on {column.kind} columns are not supported")
    return column


def _made(schema: TableSchema, comparison: Comparison, values: Sequence[Value], by_number: bool) -> _Test:
    return _Test(schema.names.index(comparison.column), comparison, frozenset(values), by_number)


def _number(comparison: Comparison, value: Value) -> Decimal:
    if isinstance(value, Decimal):
        return value
    advice = (
        f"write {value.strip()} without quotes" if isinstance(value, str) and _is_number(value) else "give a number"
    )
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


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _narrowed_by_all(column: _Comparable, tests: Sequence[_Test]) -> _Comparable | None:
    """The column with what all tests leave of it, None where that is missing values alone; raises `ConditionError`."""
    for some in [[test] for test in tests] + [list(tests)]:
        left = _left_of(column, some)
        if left is None and not all(test.takes_missing for test in some):
            texts = ", ".join(repr(test.comparison.text) for test in some)
            if len(some) > 1:
                raise ConditionError(f"no value of {column.name!r} meets all of {texts}: they contradict each other")
            raise ConditionError(f"no row can meet {texts}: in the real table {column.name!r} is {_described(column)}")
    return left


def _left_of(column: _Comparable, tests: Sequence[_Test]) -> _Comparable | None:
    """The column narrowed to the present values that meet the tests; None where there are none."""
    missing_share = column.missing_share if all(test.takes_missing for test in tests) else 0.0
    if isinstance(column, NumericalColumn):
        bounds = _bounds(column, tests)
        changed: dict[str, Any] = {"mean": None, "std": None, "median": None}
        changed |= {} if bounds is None else {"minimum": bounds[0], "maximum": bounds[1]}
        nothing = bounds is None
    else:
        categories = [each for each in column.offered if all(test.met_by(each) for test in tests)]
        changed = {"categories": categories, "shares": ()}
        nothing = not categories
    if nothing:
        return None
    return type(column).model_validate({**column.model_dump(), **changed, "missing_share": missing_share})


def _bounds(column: NumericalColumn, tests: Sequence[_Test]) -> tuple[float, float] | None:
    """The smallest and the largest number of the column that meet the tests.

    Reckoned in whole steps of the column's last decimal, so that nothing is lost to rounding.
    """
    steps = 10**column.decimals
    low, high = (round(Fraction(column.text(bound)) * steps) for bound in (column.minimum, column.maximum))
    wanted: set[Fraction] | None = None
    unwanted: set[Fraction] = set()
    for test in tests:
        values = {Fraction(value) * steps for value in test.values}
        if test.comparison.operator in ("!=", "not in"):
            unwanted |= values
        elif test.comparison.operator in ("==", "in"):
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


def _described(column: _Comparable) -> str:
    if isinstance(column, NumericalColumn):
        kind = "a whole number" if column.decimals == 0 else f"a number with {column.decimals} decimals"
        return f"{kind} from {column.text(column.minimum)} to {column.text(column.maximum)}"
    return f"one of {len(column.offered)} categories" + (", or missing" if column.nullable else "")
