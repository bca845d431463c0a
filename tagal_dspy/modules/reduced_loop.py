"""ReducedLoop: one conversation, drawn from again and again (arXiv:2509.04152, section 3.2)."""

from __future__ import annotations

from collections import Counter

from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.rounds import Steps
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.turns import Round


class ReducedLoop(TagalLoop):
    """One round; then each draw continues the same conversation, critique included, and ends there.

    Where rows are drawn by class, every class has a conversation of its own.
    """

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """See `TagalLoop.plan`."""
        return max(0, n_rounds - n_slots), n_slots, 0

    def lead(self, run: Run) -> Steps[None]:
        """The conversations; the rows of the turns that are kept are offered."""
        run.memory = {}
        for slot in run.slots:
            turns = yield from self.conversation(run, run.next_number(slot), slot, self.settings.rows_per_draw)
            run.memory[slot] = self.kept(turns)
            run.commit(Round(turns, run.memory[slot][-1:], Counter()))

    def round(self, run: Run, number: int, slot: Slot, n_rows: int) -> Steps[Round]:
        """One more draw."""
        before = run.memory.get(slot) or run.memory[ANY]
        request = {**run.wish(number, slot), "critique": before[-1].critique}
        turn = yield from self.draw(run, number, 0, slot, n_rows, request, before)
        return Round((turn,), (turn,), Counter({slot: n_rows}))
