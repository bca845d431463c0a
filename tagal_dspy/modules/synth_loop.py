"""SynthLoop: rounds of generate and criticise, each from scratch (arXiv:2509.04152, section 3.1)."""

from __future__ import annotations

from collections import Counter

from tagal_dspy.modules.loop import Round, Run, TagalLoop
from tagal_dspy.modules.rounds import Steps


class SynthLoop(TagalLoop):
    """Every round has fresh histories and fresh few-shots, and gives the rows of its last turn."""

    def round(self, run: Run, number: int, label: str | None, n_rows: int) -> Steps[Round]:
        """`n_iter` turns; the rows of the last one are offered."""
        turns = yield from self.conversation(run, number, label, n_rows)
        return Round(turns, turns[-1:], Counter({label: n_rows}))
