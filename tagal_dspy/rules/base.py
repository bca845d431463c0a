"""What every kind of rule offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from tagal_dspy.rules.values import Values, values_of
from tagal_dspy.schema import Column, Row, TableSchema

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
    def edges(self) -> tuple[Edge, ...]:
        """The order among columns that the rule demands."""
        return ()

    def sentence(self, schema: TableSchema) -> str:
        """The rule in words."""
        raise NotImplementedError

    def suits(self, column: Column) -> bool:
        """Whether the rule can be about a column."""
        return column.ordered_as == "numbers"

    def unfit(self, schema: TableSchema) -> str:
        """Which of the rule's columns, all of which exist, the rule cannot be about, and why; empty where it can."""
        wrong = [name for name in self.names if not self.suits(schema[name])]
        return f"{', '.join(map(repr, wrong))} {'is' if len(wrong) == 1 else 'are'} not {self.needs}" if wrong else ""

    def fitted(self: _Kind, rows: Sequence[Row], schema: TableSchema) -> _Kind:
        """The rule that knows some real rows; itself, where it needs to know none."""
        return self

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """Which of the rows keep the rule."""
        return self.keep(values_of(rows, schema, self.names))

    def keep(self, values: Values) -> list[bool]:
        """Which rows keep the rule, by the values of its columns (see `values_of`)."""
        raise NotImplementedError

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
