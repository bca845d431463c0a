"""ReducedLoop: one conversation, drawn from again and again (arXiv:2509.04152, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tagal_dspy.conditions import Slot
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.rounds import Rounds
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.scheduler import PATIENCE
from tagal_dspy.modules.turns import Conversation, DrawRequest, Round, Turn


class ReducedLoop(TagalLoop):
    """One round; then each draw continues the same conversation, critique included, and ends there.

    Where rows are drawn by class, every class has a conversation of its own.
    """

    own_settings: ClassVar[Mapping[str, str]] = {"few_shot_order": "shuffled", "duplicates": "dropped"}

    async def write(self, run: Run, rounds: Rounds) -> None:
        """Have the conversations, then draw from them until there are enough rows."""
        histories: dict[Slot, tuple[DrawRequest, tuple[Turn, ...]]] = {}
        for slot in run.slots:
            request = run.scheduler.request(slot, self.settings.rows_per_draw)
            talk = await self._conversation(run, rounds, request)
            await run.commit(request, self.as_round(run, talk), is_left_out=not self.offers_conversations)
            if talk.is_given_up or run.scheduler.refused_for:
                return
            histories[slot] = request, run.kept(talk.turns)

        async def write_round(request: DrawRequest) -> Round:
            first, before = histories.get(request.slot) or list(histories.values())[request.number % len(histories)]
            told = run.row_request(request)
            told |= {"critique": before[-1].critique} if before else {"examples": run.few_shots(first)}
            return await self.single(run, request, told, before)

        await rounds.make(write_round, 1)

    async def _conversation(self, run: Run, rounds: Rounds, request: DrawRequest) -> Conversation:
        return await rounds.first(
            lambda: self.conversation(run, request, gives_up_after=PATIENCE), self.calls_of_conversation
        )

    @property
    def n_turns(self) -> int:
        """One less where the rows of the conversation are left out: the draws that follow are the paper's last turn."""
        return self.settings.n_iter - (not self.offers_conversations)

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """Of so many rounds, for slots that may have a conversation each: single draws, conversations, summaries."""
        n_written = n_slots if self.offers_conversations else 0
        return max(0, n_rounds - n_written), n_slots, 0
