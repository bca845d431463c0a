"""A user's own module around `GenerateAndFilter`, compiled with plain `dspy.GEPA` instead of `compile_program`.

One predictor, one call a table. The metric says what is wrong with a table, and GEPA rewrites the instruction.
GEPA shows the model that writes instructions whole prompts, real rows included; `compile_program` does not.
"""

from __future__ import annotations

from typing import Any

import dspy
from numpy.random import default_rng

from tagal_dspy import GenerateAndFilter, TableTask, generation_tasks
from tagal_dspy.few_shot import StratifiedSampler


class OneDraw(dspy.Module):
    """A table of one draw, without critique or loop; rows that do not fit the table are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.draw = GenerateAndFilter()

    def forward(self, task: TableTask, n_rows: int, seed: int, if_short: str = "return") -> dspy.Prediction:
        examples = StratifiedSampler().sample(task, 2, default_rng(seed))
        return self.draw(task=task, n_rows=n_rows, rollout_id=seed + 1, examples=examples)


def compiled(task: TableTask, metric: Any, reflection_lm: dspy.LM, n_rows: int, n_tables: int) -> OneDraw:
    """The module with the instruction that GEPA found, after so many tables."""
    optimizer = dspy.GEPA(metric=metric, reflection_lm=reflection_lm, max_metric_calls=n_tables, num_threads=1, seed=0)
    train, valid = generation_tasks(task, n_rows, range(4)), generation_tasks(task, n_rows, range(4, 8))
    return optimizer.compile(OneDraw(), trainset=train, valset=valid)
