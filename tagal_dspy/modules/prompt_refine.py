"""Prompt-Refine: one conversation, condensed into a prompt that is drawn from (arXiv:2509.04152, section 3.3)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.card import make_card
from tagal_dspy.conditions import Slot
from tagal_dspy.modules.context import Window
from tagal_dspy.modules.ledger import Call, Role, draw_config
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.rounds import Steps
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.turns import Round, Turn
from tagal_dspy.settings import RunSettings
from tagal_dspy.signatures import SummarizeTurns, adapter_for, conversation_text, with_few_shots_below
from tagal_dspy.task import TableTask

ROOM_FOR_PROMPT = 1500
"""Tokens of the instructions and of the refined prompt."""


class TurnSummarizer(Role):
    """Ask the summary LM for one prompt that stands for a conversation.

    Called with a task and turns, returns a `dspy.Prediction` with `refined_prompt`. The oldest turns are left out where
    the conversation does not fit the LM.

    Args:
        context_window: see `RowGenerator`.
        temperature: of the LM; its own where None.
    """

    def __init__(self, context_window: int | None = None, temperature: float | None = None) -> None:
        super().__init__()
        self.context_window = context_window
        self.temperature = temperature
        self.predict = dspy.Predict(SummarizeTurns)

    def forward(self, task: TableTask, turns: tuple[Turn, ...], rollout_id: int = 0) -> dspy.Prediction:
        """Condense `turns`; `rollout_id` names the call."""
        lm = self.predict.lm or dspy.settings.lm
        try:
            with dspy.context(adapter=adapter_for(lm)):
                return _refined(self.predict(**self._inputs(lm, task, turns, rollout_id)).refined_prompt)
        except AdapterParseError as error:
            return _refined(error.lm_response)

    async def aforward(self, task: TableTask, turns: tuple[Turn, ...], rollout_id: int = 0) -> dspy.Prediction:
        """See `forward`."""
        lm = self.predict.lm or dspy.settings.lm
        try:
            with dspy.context(adapter=adapter_for(lm)):
                return _refined((await self.predict.acall(**self._inputs(lm, task, turns, rollout_id))).refined_prompt)
        except AdapterParseError as error:
            return _refined(error.lm_response)

    def _inputs(self, lm: Any, task: TableTask, turns: tuple[Turn, ...], rollout_id: int) -> dict[str, Any]:
        card, window = make_card(task.schema), Window.of(lm, self.context_window)
        texts = conversation_text((turn.answer.text, turn.critique) for turn in turns)
        while window is not None and len(turns) > 1 and not window.surely_holds(card, texts):
            if window.count(card) + window.count(texts) + ROOM_FOR_PROMPT <= window.room:
                break
            turns = turns[1:]
            texts = conversation_text((turn.answer.text, turn.critique) for turn in turns)
        return {"card": card, "conversation": texts, "config": draw_config(rollout_id, self.temperature)}


class PromptRefine(TagalLoop):
    """One round, a summary of it, then draws from the refined prompt, each with new few-shots.

    After 10 draws in a row without an accepted row the conversation is summarised anew.
    """

    pause_after = 10

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self.summarizer = TurnSummarizer(self.settings.context_window, self.settings.summary_temperature)

    def apply(self, settings: RunSettings) -> None:
        """See `TagalLoop.apply`."""
        super().apply(settings)
        self.summarizer.context_window = settings.context_window
        self.summarizer.temperature = settings.summary_temperature

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """See `TagalLoop.plan`."""
        return max(0, n_rounds - 1), 1, 1

    def lead(self, run: Run) -> Steps[None]:
        """The conversation, as far as it is kept, and its summary; the rows of the turn that is kept are offered."""
        turns = yield from self.conversation(
            run, run.next_number(run.slots[0]), run.slots[0], self.settings.rows_per_draw
        )
        run.memory = {"turns": self.kept(turns), "n_summaries": 0}
        run.commit(Round(turns, run.memory["turns"][-1:], Counter()))
        yield from self.between(run)

    def between(self, run: Run) -> Steps[None]:
        """A new summary of the same conversation."""
        memory = run.memory
        rollout_id = run.rollout_id("summary", memory["n_summaries"])
        inputs = {"task": run.task, "turns": memory["turns"], "rollout_id": rollout_id}
        said = yield Call(self.summarizer, inputs, f"summary/{memory['n_summaries']}")
        run.memory = {**memory, "n_summaries": memory["n_summaries"] + 1, "refined_prompt": said.refined_prompt}

    def round(self, run: Run, number: int, slot: Slot, n_rows: int) -> Steps[Round]:
        """One draw from the refined prompt."""
        request = {
            **run.wish(number, slot),
            "examples": run.few_shots(number, slot),
            "refined_prompt": with_few_shots_below(run.memory["refined_prompt"]),
        }
        turn = yield from self.draw(run, number, 0, slot, n_rows, request)
        return Round((turn,), (turn,), Counter({slot: n_rows}))


def _refined(answer: str | None) -> dspy.Prediction:
    return dspy.Prediction(refined_prompt=(answer or "").strip())
