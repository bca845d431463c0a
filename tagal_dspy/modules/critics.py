"""Critics: who says what is good and bad about the rows of a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import dspy
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.card import make_card
from tagal_dspy.characters import visible
from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.discrepancies import measure
from tagal_dspy.modules.ledger import Role, draw_config
from tagal_dspy.modules.sketches import sketch
from tagal_dspy.schema import Reject, Row
from tagal_dspy.settings import CriticName
from tagal_dspy.signatures import (
    NOTHING_MEASURED,
    CritiqueRows,
    Discrepancy,
    Table,
    adapter_for,
    critique_text,
    measured_text,
)
from tagal_dspy.task import TableTask

MAX_ROWS_SHOWN = 30
"""Rows of a turn that a critic sees (arXiv:2509.04152)."""

MAX_DISCREPANCIES = 8
"""Discrepancies that a critique is about; more at once are not acted upon."""


class Written(NamedTuple):
    """The rows of a turn, as a critic gets them.

    Attributes:
        shown: at most `MAX_ROWS_SHOWN` of them as the generator wrote them.
        rows: all of them, canonical.
        rejects: what the generator wrote besides that did not fit the schema.
        slot: what they were to be.
        earlier: the critique before this one; empty for the first turn.
    """

    shown: Table
    rows: Sequence[Row] = ()
    rejects: Sequence[Reject] = ()
    slot: Slot = ANY
    earlier: str = ""


class Critic(Role):
    """What all critics have in common.

    Contract: called with the arguments of `forward`, synchronously or with `acall`, returns a `dspy.Prediction` with
    `critique` (a text for the next prompt, maybe empty) and `discrepancies` (what was measured, empty where nothing
    was). Equal arguments and equal LM answers give equal critiques. Nothing that an LM answers raises.
    """

    temperature: float | None = None
    """Of the LM, where there is one; its own where None."""

    def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """Criticise the rows of a turn.

        Args:
            task: the table they were written for.
            written: the rows.
            rollout_id: names the call: equal ids give equal critiques.
        """
        raise NotImplementedError

    async def aforward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """See `forward`; a critic that waits for something awaits it here."""
        return self.forward(task, written, rollout_id)

    def dumped(self, said: dspy.Prediction) -> dict[str, Any]:
        """See `Role.dumped`."""
        found = [each.model_dump() for each in said.get("discrepancies") or ()]
        return {"critique": said.critique, "discrepancies": found}

    def restored(self, recorded: dict[str, Any], inputs: dict[str, Any]) -> dspy.Prediction:
        """See `Role.restored`."""
        return _said(recorded["critique"], [Discrepancy.model_validate(each) for each in recorded["discrepancies"]])

    def measured(self, task: TableTask, written: Written) -> tuple[Discrepancy, ...]:
        """The worst discrepancies."""
        found = measure(task, written.rows, written.rejects, slot=written.slot, limit=MAX_DISCREPANCIES)
        return tuple(found)


class GroundedCritic(Critic):
    """An LM that is told what was measured, so that it explains facts instead of guessing them.

    An answer that cannot be read as a critique is taken for the critique it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict(CritiqueRows)

    def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """See `Critic.forward`."""
        discrepancies = self.measured(task, written)
        try:
            with dspy.context(adapter=adapter_for(self.predict.lm or dspy.settings.lm)):
                answer = self.predict(**self._inputs(task, written, discrepancies, rollout_id))
        except AdapterParseError as error:
            return _said((error.lm_response or "").strip(), discrepancies)
        return _said(critique_text(answer.strengths, answer.points, answer.followed), discrepancies)

    async def aforward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """See `Critic.forward`."""
        discrepancies = self.measured(task, written)
        try:
            with dspy.context(adapter=adapter_for(self.predict.lm or dspy.settings.lm)):
                answer = await self.predict.acall(**self._inputs(task, written, discrepancies, rollout_id))
        except AdapterParseError as error:
            return _said((error.lm_response or "").strip(), discrepancies)
        return _said(critique_text(answer.strengths, answer.points, answer.followed), discrepancies)

    def _inputs(
        self, task: TableTask, written: Written, discrepancies: Sequence[Discrepancy], rollout_id: int
    ) -> dict[str, Any]:
        fields = {
            "card": make_card(task.schema),
            "rows": written.shown,
            "discrepancies": measured_text(discrepancies) or None,
            "earlier_critique": written.earlier or None,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return {**given, "config": draw_config(rollout_id, self.temperature)}


class EyeCritic(GroundedCritic):
    """The paper's critic: an LM looks at the rows and the card, and says what it thinks."""

    def measured(self, task: TableTask, written: Written) -> tuple[Discrepancy, ...]:
        """Nothing is measured."""
        return ()


class MeasuredCritic(Critic):
    """The measured discrepancies in words, without an LM: for small models, and to know what an LM adds."""

    def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """See `Critic.forward`."""
        discrepancies = self.measured(task, written)
        return _said(measured_text(discrepancies) or NOTHING_MEASURED, discrepancies)


class HumanCritic(Critic):
    """A person is shown rows, plots in text and discrepancies, and their words are the critique.

    Args:
        ask: shows a text and returns what the person says; the terminal's `input` where None.
    """

    def __init__(self, ask: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self._ask = ask or input
        self._one_at_a_time = threading.Lock()

    def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """See `Critic.forward`."""
        discrepancies = self.measured(task, written)
        measured = measured_text(discrepancies) or NOTHING_MEASURED
        plots = sketch(task, written.rows, written.slot)
        with self._one_at_a_time:
            shown = f"\n{written.shown}\n{plots}\n\nMeasured:\n{measured}\n\nWhat should be different? "
            said = self._ask(visible(shown))
        return _said(said.strip(), discrepancies)

    def __deepcopy__(self, memo: object) -> HumanCritic:
        return HumanCritic(self._ask)


CRITICS: dict[CriticName, Callable[[], Critic | None]] = {
    "eye": EyeCritic,
    "grounded": GroundedCritic,
    "measured": MeasuredCritic,
    "human": HumanCritic,
    "none": lambda: None,
}


def _said(critique: str, discrepancies: Sequence[Discrepancy]) -> dspy.Prediction:
    return dspy.Prediction(critique=critique, discrepancies=tuple(discrepancies))
