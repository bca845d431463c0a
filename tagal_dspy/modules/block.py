"""`GenerateAndFilter`: one draw and what of it is new, for modules of your own."""

from __future__ import annotations

from typing import Any

import dspy

from tagal_dspy.acceptance import AcceptancePipeline, RowFilter, Strictness
from tagal_dspy.modules.generator import RowGenerator
from tagal_dspy.modules.role import Role
from tagal_dspy.rules import Rules
from tagal_dspy.task import TableTask


class GenerateAndFilter(Role):
    """Draw rows once and keep those that fit the table; for modules that are written around a single draw.

    Args:
        generator: draws the rows; one with the paper's settings where None.
        strictness: see `RowFilter`.
        rules: what every row must keep.

    Called like its generator, returns a `dspy.Prediction` with `table` (the accepted rows as a frame with the columns
    and dtypes of the real table), `rows` (the same, canonical), `rejects` (the others, each with its reason) and
    `answer`. Never raises for what the LM answers.

    >>> import pandas as pd
    >>> from tagal_dspy.testing import scripted_lm
    >>> task = TableTask(pd.DataFrame({"x": range(50), "y": ["a", "b"] * 25}), target="y")
    >>> with dspy.context(lm=scripted_lm(lambda asked: {"rows": "17,a\\n18,c\\nsorry"}, cache=False)):
    ...     said = GenerateAndFilter()(task=task, n_rows=3, examples=task.train_rows[:4])
    >>> said.table.values.tolist(), [reject.reason for reject in said.rejects]
    ([[17, 'a']], ['unparsable', 'unknown_category'])
    """

    def __init__(
        self,
        generator: RowGenerator | None = None,
        strictness: Strictness = "strict",
        rules: Rules | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator or RowGenerator()
        self.strictness, self.rules = strictness, rules

    async def aforward(self, task: TableTask, n_rows: int, **request: Any) -> dspy.Prediction:
        """Draw `n_rows` rows; see `RowGenerator.aforward`."""
        drawn = await self.generator.acall(task=task, n_rows=n_rows, rules=self.rules, **request)
        row_filter = RowFilter(task, self.strictness, rules=self.rules)
        acceptance = AcceptancePipeline(self.generator.wire(task), row_filter, n_rows)
        read = acceptance.read(drawn.answer.text)
        rows = acceptance.offer(read.rows)
        return dspy.Prediction(
            table=task.schema.to_frame(rows),
            rows=tuple(rows),
            rejects=(*read.rejects, *acceptance.rejects),
            answer=drawn.answer,
        )
