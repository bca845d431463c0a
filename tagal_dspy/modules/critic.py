"""Critics: who says what is good and bad about the rows of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.card import make_card
from tagal_dspy.schema import Row
from tagal_dspy.signatures import CritiqueRows, Table, adapter_for, critique_text
from tagal_dspy.task import TableTask

MAX_ROWS_SHOWN = 30
"""Rows of a turn that a critic sees (arXiv:2509.04152)."""


class RowCritic(dspy.Module):  # type: ignore[misc]
    """The paper's critic: an LM looks at the rows and the card, and says what it thinks.

    Called with a task and the text of some rows, returns a `dspy.Prediction` with `critique`, a text for the next
    prompt. An answer that cannot be read as a critique is taken as the critique it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict(CritiqueRows)

    def forward(self, task: TableTask, rows: Table, earlier: str | None = None, rollout_id: int = 0) -> dspy.Prediction:
        """Criticise rows.

        Args:
            task: the table they were written for.
            rows: at most `MAX_ROWS_SHOWN` rows as the generator wrote them.
            earlier: the critique before this one.
            rollout_id: names the call: equal ids give equal critiques.
        """
        try:
            with dspy.context(adapter=adapter_for(self.predict.lm or dspy.settings.lm)):
                return _criticised(self.predict(**_inputs(task, rows, earlier, rollout_id)))
        except AdapterParseError as error:
            return dspy.Prediction(critique=(error.lm_response or "").strip())

    async def aforward(
        self, task: TableTask, rows: Table, earlier: str | None = None, rollout_id: int = 0
    ) -> dspy.Prediction:
        """See `forward`."""
        try:
            with dspy.context(adapter=adapter_for(self.predict.lm or dspy.settings.lm)):
                return _criticised(await self.predict.acall(**_inputs(task, rows, earlier, rollout_id)))
        except AdapterParseError as error:
            return dspy.Prediction(critique=(error.lm_response or "").strip())


def _inputs(task: TableTask, rows: Table, earlier: str | None, rollout_id: int) -> dict[str, Any]:
    given = {"earlier_critique": earlier} if earlier else {}
    return {"card": make_card(task.schema), "rows": rows, **given, "config": {"rollout_id": rollout_id}}


def _criticised(answer: dspy.Prediction) -> dspy.Prediction:
    return dspy.Prediction(critique=critique_text(answer.strengths, answer.points, answer.followed))


def shown_rows(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows of a turn that a critic sees."""
    return rows[:MAX_ROWS_SHOWN]
