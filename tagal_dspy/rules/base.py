"""What every kind of rule offers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from tagal_dspy.schema import CategoricalColumn, Column, NumericalColumn, Row, TableSchema, is_number

_Kind = TypeVar("_Kind", bound="BaseRule")


class Edge(NamedTuple):
    """One column never below another, or always above it where strict."""

    low: str
    high: str
    strict: bool


class BaseRule(BaseModel):
    """A rule that a file can express, of the name that SDV's constraint has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: ClassVar[Mapping[str, str]]
    """The fields, by the parameters of SDV's constraint."""
    needs: ClassVar[str] = "of numbers"
    """What the rule's columns must be."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the rule is about."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The rule as a sentence."""
        raise NotImplementedError

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The order among columns that the rule demands."""
        return ()

    def suits(self, column: Column) -> bool:
        """Whether the rule can be about a column; one of two numbers is categorical, and holds numbers, too."""
        if isinstance(column, CategoricalColumn):
            return all(map(is_number, column.categories))
        return isinstance(column, NumericalColumn)

    def unfit(self, schema: TableSchema) -> str:
        """Which of the rule's columns, all of which exist, the rule cannot be about, and why; empty where it can."""
        wrong = [name for name in self.names if not self.suits(schema[name])]
        return f"{', '.join(map(repr, wrong))} {'is' if len(wrong) == 1 else 'are'} not {self.needs}" if wrong else ""

    def fitted(self: _Kind, rows: Sequence[Row], schema: TableSchema) -> _Kind:
        """The rule that knows some real rows; itself, where it needs to know none."""
        return self

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """Which of the rows keep the rule."""
        return self.keep(self.cells(rows, schema))

    def keep(self, cells: Iterable[Row]) -> list[bool]:
        """Whether the canonical cells of the rule's columns keep it, row by row."""
        raise NotImplementedError

    def cells(self, rows: Sequence[Row], schema: TableSchema) -> Iterator[Row]:
        """The cells of the rule's columns, row by row."""
        places = [schema.names.index(name) for name in self.names]
        return zip(*([row[place] for row in rows] for place in places), strict=True)

    def constraint(self) -> Any:
        """The same as a constraint of SDV, which is imported."""
        from sdv import cag

        given = self.model_dump(mode="json")
        return getattr(cag, type(self).__name__)(**{theirs: given[ours] for theirs, ours in self.parameters.items()})

    @classmethod
    def of_constraint(cls: type[_Kind], constraint: Any) -> _Kind:
        """The rule that a constraint of SDV demands."""
        given = constraint.to_dict()["parameters"]
        return cls(**{ours: given[theirs] for theirs, ours in cls.parameters.items()})
