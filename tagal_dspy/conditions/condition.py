"""`Condition`: comparisons that suit a table, the columns they leave, and the rows that meet them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from tagal_dspy.conditions.comparing import CellTest, column_of, equals, test_of
from tagal_dspy.conditions.narrowing import narrowed_by_all
from tagal_dspy.conditions.parser import Comparison, parse_comparisons
from tagal_dspy.schema import CategoricalColumn, ModelledColumn, Row, TableSchema
from tagal_dspy.task import TableTask

_LOG = logging.getLogger(__name__)


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
    (31, ('smith',))
    >>> condition.holds(("42", "smith")), condition.holds(("42", "cook"))
    (True, False)
    """

    text: str
    comparisons: tuple[Comparison, ...]
    narrowed: dict[str, ModelledColumn] = field(compare=False)
    _tests: tuple[CellTest, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str, schema: TableSchema) -> Condition:
        """Read a condition on a table's columns; see `tagal_dspy.conditions.parser` for how it is written.

        Raises:
            ConditionError: it cannot be read, names an unknown column or category, compares with a value of another
                type, or no row within the table's ranges can meet it.
        """
        comparisons = parse_comparisons(text)
        tests = tuple(test_of(schema, comparison) for comparison in comparisons)
        narrowed: dict[str, ModelledColumn] = {}
        for whole in {each.column: column_of(schema, each) for each in comparisons}.values():
            column = narrowed_by_all(whole, [test for test in tests if test.comparison.column == whole.name])
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
        tests = tuple(equals(schema, each) for each in comparisons)
        narrowed: dict[str, ModelledColumn] = {
            name: CategoricalColumn(name=name, dtype=schema[name].dtype, categories=(cell,))
            for name, cell in cells.items()
        }
        return cls(" and ".join(each.text for each in comparisons), comparisons, narrowed, tests)

    def holds(self, row: Row) -> bool:
        """Whether a row of canonical text, in the schema's order, meets the condition."""
        return all(test.met_by(row[test.position]) for test in self._tests)

    def met_by(self, row: Row) -> tuple[bool, ...]:
        """Whether a row meets each of the comparisons."""
        return tuple(test.met_by(row[test.position]) for test in self._tests)

    def allows(self, row: Row, name: str) -> bool:
        """Whether a row meets the comparisons of one column."""
        return all(test.met_by(row[test.position]) for test in self._tests if test.comparison.column == name)

    def warn_if_unmet(self, task: TableTask) -> None:
        """Log a warning when no training row meets the condition, with how many meet each comparison."""
        if any(map(self.holds, task.train_rows)):
            return
        counts = [
            f"{sum(test.met_by(row[test.position]) for row in task.train_rows)} meet {test.comparison.text}"
            for test in self._tests
        ]
        _LOG.warning(
            "no training row meets the condition %r (%s); prompts show the rows that meet most of it",
            self.text,
            ", ".join(counts),
        )
