"""Critics: who says what is good and bad about the rows of a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import dspy
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.background import on_thread
from tagal_dspy.card import make_card
from tagal_dspy.characters import visible
from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.measures.discrepancies import measure
from tagal_dspy.modules.role import Role, draw_config, lm_of
from tagal_dspy.modules.sketches import sketch
from tagal_dspy.recording import recorded_answer
from tagal_dspy.schema import Reject, Row
from tagal_dspy.settings import CriticName, RunSettings
from tagal_dspy.signatures import (
    NOTHING_MEASURED,
    CritiqueRows,
    Discrepancy,
    Table,
    adapter_for,
    critique_signature,
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
        conversation: the `message` of each critique of the round so far, where the critic has a conversation of its own
            (arXiv:2509.04152); None where each critique stands alone.
        examples: the few-shots of the round, where the critic is to see them.
    """

    shown: Table
    rows: Sequence[Row] = ()
    rejects: Sequence[Reject] = ()
    slot: Slot = ANY
    earlier: str = ""
    conversation: Sequence[dict[str, Any]] | None = None
    examples: Table | None = None


class Critic(dspy.Module):  # type: ignore[misc]
    """What all critics have in common.

    Contract: called with the arguments of `forward`, or awaited with `acall`, returns a `dspy.Prediction` with
    `critique` (a text for the next prompt, maybe empty) and `discrepancies` (what was measured, empty where nothing
    was). Equal arguments and equal LM answers give equal critiques. Nothing that an LM answers raises.

    A critic of your own defines `forward`, which a run calls on a thread, or `aforward`, where it awaits something.
    """

    temperature: float | None = None
    """Of the LM, where there is one; its own where None."""

    max_tokens: int | None = None
    """Of an answer of the LM; its own limit where None."""

    has_card: bool = True
    """Whether the LM is told the card."""

    weaknesses_alone: bool = False
    """Whether the LM leaves out what is good."""

    def configure(self, settings: RunSettings) -> None:
        """Take over what the settings of a run say about critics."""
        self.temperature, self.max_tokens = settings.critic_temperature, settings.critic_max_tokens
        self.has_card, self.weaknesses_alone = settings.critic_info == "card", settings.critique == "weaknesses"

    def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """Criticise the rows of a turn.

        Args:
            task: the table they were written for.
            written: the rows.
            rollout_id: names the call: equal ids give equal critiques.
        """
        raise NotImplementedError

    async def aforward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """The same, awaited."""
        return await on_thread(self.forward, task, written, rollout_id)

    def measured(self, task: TableTask, written: Written) -> tuple[Discrepancy, ...]:
        """The worst discrepancies."""
        found = measure(task, written.rows, written.rejects, slot=written.slot, limit=MAX_DISCREPANCIES)
        return tuple(found)


class GroundedCritic(Role, Critic):
    """An LM that is told what was measured, so that it explains facts instead of guessing them.

    An answer that cannot be read as a critique is taken for the critique it is. The prediction has a `message`, too:
    what was asked and answered, for a conversation of the critic's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict(CritiqueRows)

    async def aforward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """Criticise the rows of a turn."""
        discrepancies = self.measured(task, written)
        fields = self._fields(task, written, discrepancies)
        config = draw_config(rollout_id, self.temperature)
        if self.max_tokens is not None:
            config["max_tokens"] = self.max_tokens
        inputs: dict[str, Any] = {**fields, "config": config, "signature": self._signature(written, fields)}
        if written.conversation is not None:
            inputs["history"] = dspy.History(messages=list(written.conversation))
        try:
            with dspy.context(adapter=adapter_for(lm_of(self.predict))):
                answer = await self.predict.acall(**inputs)
        except AdapterParseError as error:
            text = (error.lm_response or "").strip()
            return _said(text, discrepancies, {**fields, "strengths": text, "points": [], "followed": ""})
        said = {"strengths": answer.get("strengths", ""), "points": answer.points, "followed": answer.followed}
        return _said(critique_text(**said), discrepancies, {**fields, **said})

    def _signature(self, written: Written, fields: dict[str, Any]) -> type[dspy.Signature]:
        return critique_signature(
            self.predict.signature.instructions,
            is_conversation=written.conversation is not None,
            has_card=self.has_card,
            has_examples=any("examples" in each for each in (fields, *(written.conversation or ()))),
            weaknesses_alone=self.weaknesses_alone,
        )

    def _fields(self, task: TableTask, written: Written, discrepancies: Sequence[Discrepancy]) -> dict[str, Any]:
        is_later = bool(written.conversation)
        fields = {
            "card": make_card(task.schema) if self.has_card and not is_later else None,
            "examples": written.examples,
            "rows": written.shown,
            "discrepancies": measured_text(discrepancies) or None,
            "earlier_critique": None if written.conversation is not None else written.earlier or None,
        }
        return {name: value for name, value in fields.items() if value is not None}


class EyeCritic(GroundedCritic):
    """The paper's critic: an LM looks at the rows and the card, and says what it thinks."""

    def measured(self, task: TableTask, written: Written) -> tuple[Discrepancy, ...]:
        """Nothing is measured."""
        return ()


class MeasuredCritic(Critic):
    """The measured discrepancies in words, without an LM: for small models, and to know what an LM adds."""

    def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """Criticise the rows of a turn."""
        discrepancies = self.measured(task, written)
        return _said(measured_text(discrepancies) or NOTHING_MEASURED, discrepancies)


class HumanCritic(Role, Critic):
    """A person is shown rows, plots in text and discrepancies, and their words are the critique.

    Args:
        ask: shows a text and returns what the person says; the terminal's `input` where None.
    """

    def __init__(self, ask: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self._ask = ask or input
        self._one_at_a_time = threading.Lock()

    async def aforward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        """Criticise the rows of a turn."""
        discrepancies = self.measured(task, written)
        measured = measured_text(discrepancies) or NOTHING_MEASURED
        plots = sketch(task, written.rows, written.slot)
        shown = visible(f"\n{written.shown}\n{plots}\n\nMeasured:\n{measured}\n\nWhat should be different? ")
        said = await recorded_answer(shown, lambda: self._asked(shown))
        return _said(said.strip(), discrepancies)

    def _asked(self, shown: str) -> str:
        with self._one_at_a_time:
            return self._ask(shown)

    def __deepcopy__(self, memo: object) -> HumanCritic:
        return HumanCritic(self._ask)


CRITICS: dict[CriticName, Callable[[], Critic | None]] = {
    "eye": EyeCritic,
    "grounded": GroundedCritic,
    "measured": MeasuredCritic,
    "human": HumanCritic,
    "none": lambda: None,
}


def _said(
    critique: str, discrepancies: Sequence[Discrepancy], message: dict[str, Any] | None = None
) -> dspy.Prediction:
    return dspy.Prediction(critique=critique, discrepancies=tuple(discrepancies), message=message)
