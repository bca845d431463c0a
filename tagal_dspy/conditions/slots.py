"""`Slot`: rows that are wanted and counted together."""

from __future__ import annotations

from dataclasses import dataclass

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.schema import Row, TableSchema


@dataclass(frozen=True)
class Slot:
    """Rows of one class, rows that meet one condition, rows that are both, or any rows.

    Attributes:
        label: the class; None for all.
        condition: what every row meets; None for nothing.
    """

    label: str | None = None
    condition: Condition | None = None

    def takes(self, row: Row, schema: TableSchema) -> bool:
        """Whether a canonical row is one of these."""
        if self.label is not None and schema.target and row[schema.names.index(schema.target)] != self.label:
            return False
        return self.condition is None or self.condition.holds(row)

    def __str__(self) -> str:
        parts = [self.label, self.condition.text if self.condition else None]
        return " and ".join(part for part in parts if part is not None)


ANY = Slot()
"""Any rows."""
