"""Prompt-Refine: one conversation, condensed into a prompt that is drawn from (arXiv:2509.04152, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.card import make_card
from tagal_dspy.modules.context import Window
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.role import Role, draw_config, lm_of
from tagal_dspy.modules.rounds import Rounds
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.scheduler import PATIENCE
from tagal_dspy.modules.turns import DrawRequest, Round, Turn
from tagal_dspy.recording import at_place
from tagal_dspy.settings import RunSettings
from tagal_dspy.signatures import (
    FEW_SHOT_SLOT,
    SummarizeTurns,
    adapter_for,
    conversation_text,
    message_text,
    with_few_shots_below,
    with_few_shots_in_slot,
)
from tagal_dspy.task import TableTask

ROOM_FOR_PROMPT = 1500
"""Tokens of the instructions and of the refined prompt."""


class TurnSummarizer(Role):
    """Ask the summary LM for one prompt that stands for a conversation.

    Called with a task and the parts of a conversation, returns a `dspy.Prediction` with `refined_prompt`. Parts are the
    turns, each a pair of rows and critique, or all messages, each a pair of role and text. The oldest parts (after the
    system message) are left out where they do not fit the LM.

    Args:
        context_window: see `RowGenerator`.
        temperature: of the LM; its own where None.
    """

    def __init__(self, context_window: int | None = None, temperature: float | None = None) -> None:
        super().__init__()
        self.context_window = context_window
        self.temperature = temperature
        self.predict = dspy.Predict(SummarizeTurns)

    async def aforward(
        self, task: TableTask, parts: Sequence[tuple[str, str]], rollout_id: int = 0, *, are_messages: bool = False
    ) -> dspy.Prediction:
        """Condense a conversation; `rollout_id` names the call."""
        lm, card = lm_of(self.predict), make_card(task.schema)
        config = draw_config(rollout_id, self.temperature)
        try:
            with dspy.context(adapter=adapter_for(lm)):
                text = self._fitted(lm, card, parts, are_messages)
                answer = (await self.predict.acall(card=card, conversation=text, config=config)).refined_prompt
        except AdapterParseError as error:
            answer = error.lm_response
        return dspy.Prediction(refined_prompt=(answer or "").strip())

    def _fitted(self, lm: dspy.LM, card: str, parts: Sequence[tuple[str, str]], are_messages: bool) -> str:
        """The text of the parts that fit the LM."""
        window, first = Window.of(lm, self.context_window), 1 if are_messages else 0
        written = message_text if are_messages else conversation_text
        text = written(parts)
        while window is not None and len(parts) > first + 1 and not window.surely_holds(card, text):
            if window.count(card) + window.count(text) + ROOM_FOR_PROMPT <= window.room:
                break
            parts = [*parts[:first], *parts[first + 1 :]]
            text = written(parts)
        return text


class PromptRefine(TagalLoop):
    """One round, a summary of it, then draws from the refined prompt, each with new few-shots.

    After 10 draws in a row without an accepted row the conversation is summarised anew.
    """

    pause_after = 10

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self.summarizer = TurnSummarizer(self.settings.context_window, self.settings.summary_temperature)

    async def write(self, run: Run, rounds: Rounds) -> None:
        """Have the conversation, summarise it, and draw from the refined prompt until there are enough rows."""
        request = run.scheduler.request(run.slots[0], self.settings.rows_per_draw)
        talk = await rounds.first(
            lambda: self.conversation(
                run, request, gives_up_after=PATIENCE, starts_again_after=self.settings.max_failed_draws
            ),
            self.calls_of_conversation + 1,
        )
        await run.commit(request, self.as_round(run, talk), is_left_out=not self.offers_conversations)
        if talk.is_given_up or run.scheduler.refused_for:
            return
        parts = self._parts(run, request, run.kept(talk.turns))
        n_summaries = 0
        while n_summaries == 0 or run.scheduler.resume():
            refined_prompt = await rounds.wait_for(self._summary(run, parts, n_summaries))
            n_summaries += 1

            async def write_round(request: DrawRequest, refined_prompt: str = refined_prompt) -> Round:
                return await self.single(run, request, self._told(run, request, refined_prompt))

            await rounds.make(write_round, 1)

    async def _summary(self, run: Run, parts: Sequence[tuple[str, str]], number: int) -> str:
        with at_place(f"summary/{number}"):
            said = await self.summarizer.acall(
                task=run.task,
                parts=parts,
                rollout_id=run.rollout_id("summary", number),
                are_messages=self.settings.summary_reads == "messages",
            )
        return str(said.refined_prompt)

    def _parts(self, run: Run, request: DrawRequest, turns: tuple[Turn, ...]) -> list[tuple[str, str]]:
        """What the summary LM reads: rows and critiques of the turns, or all messages and the last critique."""
        if self.settings.summary_reads == "turns":
            return [(turn.answer.text, turn.critique) for turn in turns]
        told = {"history": [self.message(run, turn) for turn in turns], "critique": turns[-1].critique}
        messages = self.generator.messages(run.task, request.n_rows, **told)
        return [(each["role"], each["content"]) for each in messages]

    def _told(self, run: Run, request: DrawRequest, refined_prompt: str) -> dict[str, Any]:
        """What a draw is told: which rows are wanted, the refined prompt, and few-shots in it or beside it."""
        told, few_shots = run.row_request(request), run.few_shots(request)
        if self.settings.refined_prompt == "alone":
            rows = self.generator.wire(run.task).encode(few_shots)
            shown = few_shots if FEW_SHOT_SLOT in refined_prompt else None
            return {**told, "prompt": with_few_shots_in_slot(refined_prompt, rows), "examples": shown}
        return {**told, "examples": few_shots, "refined_prompt": with_few_shots_below(refined_prompt)}

    def apply(self, settings: RunSettings) -> None:
        """Set the modules up for the settings of a run, the summarizer included."""
        super().apply(settings)
        self.summarizer.context_window = settings.context_window
        self.summarizer.temperature = settings.summary_temperature

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """Of so many rounds, for slots that may have a conversation each: single draws, conversations, summaries."""
        return max(0, n_rounds - self.offers_conversations), 1, 1
