"""A user's own module around `RowGenerator`, compiled with plain `dspy.GEPA`: nothing of `compile_program` is needed.

One predictor, one call a table. The metric says what is wrong with a table, and GEPA rewrites the instruction.
GEPA shows the model that writes instructions whole prompts, real rows included; `compile_program` does not.
"""

from __future__ import annotations

from typing import Any

import dspy
from numpy.random import default_rng

from tagal_dspy import RowGenerator, TableTask, generation_tasks
from tagal_dspy.few_shot import StratifiedSampler


class OneDraw(dspy.Module):
    """A table of one draw, without critique, filter or loop."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = RowGenerator()

    def forward(self, task: TableTask, n_rows: int, seed: int, if_short: str = "return") -> dspy.Prediction:
        said = self.generator(
            task=task,
            n_rows=n_rows,
            rollout_id=seed + 1,
            examples=StratifiedSampler().sample(task, 2, default_rng(seed)),
        )
        columns = task.schema.modelled
        rows = [
            tuple(column.canonical(cell) for column, cell in zip(columns, cells, strict=True))
            for cells in said.decoded.rows
        ]
        return dspy.Prediction(table=task.schema.to_frame(rows))


def compiled(task: TableTask, metric: Any, reflection_lm: dspy.LM, n_rows: int, n_tables: int) -> OneDraw:
    """The module with the instruction that GEPA found, after so many tables."""
    optimizer = dspy.GEPA(metric=metric, reflection_lm=reflection_lm, max_metric_calls=n_tables, num_threads=1, seed=0)
    train, valid = generation_tasks(task, n_rows, range(4)), generation_tasks(task, n_rows, range(4, 8))
    return optimizer.compile(OneDraw(), trainset=train, valset=valid)
