"""SynthLoop: rounds of generate and criticise, each from scratch (arXiv:2509.04152, section 3.1)."""

from __future__ import annotations

from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.rounds import Rounds
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.turns import DrawRequest, Round


class SynthLoop(TagalLoop):
    """Every round has fresh histories and fresh few-shots, and gives the rows of one turn: the best, or the last."""

    offers_conversations = True

    async def write(self, run: Run, rounds: Rounds) -> None:
        """Make rounds until there are enough rows."""

        async def write_round(request: DrawRequest) -> Round:
            # A round with too many failed draws is thrown away; the next one has a fresh history and few-shots.
            talk = await self.conversation(run, request, gives_up_after=self.settings.max_failed_draws)
            return self.as_round(run, talk)

        await rounds.make(write_round, self.calls_of_conversation)

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """Of so many rounds, for slots that may have a conversation each: single draws, conversations, summaries."""
        return 0, n_rounds, 0

    @property
    def criticises_last(self) -> bool:
        """The paper's does, though the conversation ends there."""
        return self.settings.last_critique == "asked"
