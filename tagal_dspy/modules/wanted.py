"""`Wanted`: which rows a call asks for, besides how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tagal_dspy.conditions import Condition, Slot
from tagal_dspy.errors import SettingsError
from tagal_dspy.rules import Rules
from tagal_dspy.task import TableTask


@dataclass(frozen=True)
class Wanted:
    """What every row must meet, and how many rows of each class are wanted.

    Attributes:
        condition: every row meets it; it narrows the grammar, chooses the few-shots and is told to the LM.
        rules: every row keeps them; they are told to the LM in the card.
        quotas: rows of each slot; None leaves them to the settings.
    """

    condition: Condition | None = None
    rules: Rules | None = None
    quotas: Mapping[Slot, int] | None = None

    @property
    def texts(self) -> list[str]:
        """All of it in words; equal wishes have equal words."""
        condition = [self.condition.text] if self.condition else []
        quotas = [f"{n} of {slot}" for slot, n in (self.quotas or {}).items()]
        return [*condition, *(self.rules.texts if self.rules else ()), *quotas]

    def narrowed(self, slot: Slot) -> Slot:
        """A slot with the condition that every row meets."""
        return slot.under(self.condition)

    def check(self, task: TableTask, n_rows: int) -> None:
        """Raise before the first call for what cannot be had: broken rules, counts that differ."""
        if self.condition is not None:
            self.condition.warn_if_unmet(task)
        if self.rules is not None:
            self.rules.check(task)
        total = n_rows if self.quotas is None else sum(self.quotas.values())
        if total != n_rows:
            raise SettingsError(f"the rows of the parts add up to {total}, and {n_rows} are asked for")
