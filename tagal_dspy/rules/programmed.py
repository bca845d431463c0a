"""`Programmed`: a rule that the user wrote in Python for SDV."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tagal_dspy.errors import RuleError
from tagal_dspy.rules.base import Edge
from tagal_dspy.schema import Row, TableSchema


@dataclass(frozen=True, eq=False)
class Programmed:
    """A `ProgrammableConstraint` of SDV, which must judge each row by itself.

    It is given frames of the real table's own dtypes, not the values that other rules compare. Its docstring's first
    paragraph is what prompts say of it; without one it is enforced and not told.

    Attributes:
        programmed: SDV's object.
        single: whether it takes the table, rather than a dict of tables.
    """

    programmed: Any
    single: bool
    names: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    kind: str = field(default="programmed", init=False)

    def sentence(self, schema: TableSchema) -> str:
        """The rule in words."""
        paragraph = (type(self.programmed).__doc__ or "").strip().partition("\n\n")[0]
        return " ".join(paragraph.split())

    def unfit(self, schema: TableSchema) -> str:
        """Nothing: what the object needs is known to itself alone, and said when it is fitted."""
        return ""

    def fitted(self, rows: Sequence[Row], schema: TableSchema) -> Programmed:
        """A rule of an equal object that has seen some rows; raises `RuleError` when it refuses them."""
        programmed, data = copy.deepcopy(self.programmed), self._data(rows, schema)
        try:
            programmed.validate(schema.to_sdv())
            programmed.validate_input_data(data)
            programmed.fit(data, schema.to_sdv())
        except Exception as error:  # SDV lets such an object say no by any error
            raise RuleError(f"{type(programmed).__name__} does not suit the table: {error}") from error
        return Programmed(programmed, self.single)

    def kept_by(self, rows: Sequence[Row], schema: TableSchema) -> list[bool]:
        """Which of the rows keep the rule."""
        if not rows:
            return []
        valid = self.programmed.is_valid(self._data(rows, schema))
        answers = list(valid if self.single else valid[schema.name])
        if len(answers) != len(rows):
            raise RuleError(
                f"{type(self.programmed).__name__}.is_valid gave {len(answers)} answers for {len(rows)} rows; "
                f"it must give one for each"
            )
        return [not pd.isna(answer) and bool(answer) for answer in answers]

    def constraint(self) -> Any:
        """The same as a constraint of SDV, which is imported."""
        return self.programmed

    def _data(self, rows: Sequence[Row], schema: TableSchema) -> pd.DataFrame | dict[str, pd.DataFrame]:
        frame = schema.to_frame(rows)
        return frame if self.single else {schema.name: frame}
