"""SynthLoop: rounds of generate and criticise, each from scratch (arXiv:2509.04152, section 3.1)."""

from __future__ import annotations

from collections import Counter

from tagal_dspy.conditions import Slot
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.rounds import Steps
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.turns import Round


class SynthLoop(TagalLoop):
    """Every round has fresh histories and fresh few-shots, and gives the rows of one turn: the best, or the last."""

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """See `TagalLoop.plan`."""
        return 0, n_rounds, 0

    @property
    def criticises_last(self) -> bool:
        """The paper's does, though the conversation ends there."""
        return self.settings.preset == "paper"

    def round(self, run: Run, number: int, slot: Slot, n_rows: int) -> Steps[Round]:
        """A conversation; the rows of the turn that is kept are offered."""
        turns = yield from self.conversation(run, number, slot, n_rows)
        return Round(turns, self.kept(turns)[-1:], Counter({slot: n_rows}))
