"""What every kind of rule offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from tagal_dspy.schema import Row, TableSchema


class Edge(NamedTuple):
    """One column never below another, or always above it where strict."""

    low: str
    high: str
    strict: bool


class BaseRule(BaseModel):
    """A rule that a file can express."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    def unfit(self, schema: TableSchema) -> str:
        """Which of the rule's columns, all of which exist, the rule cannot be about, and why; empty where it can."""
        raise NotImplementedError

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """Which of the rows keep the rule."""
        raise NotImplementedError

    def constraint(self) -> Any:
        """The same as a constraint of SDV, which is imported."""
        raise NotImplementedError
