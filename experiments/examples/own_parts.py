"""An own critic, an own sampler and an own metric, dropped into a loop and compiled with `compile_program`.

The critic is a program of plain Python: it counts, and asks no language model. The sampler shows the youngest rows. The
metric is a function: a score, higher is better, a feedback for the model that writes prompts, and objectives.
"""

from __future__ import annotations

from typing import Any

import dspy
import numpy as np

from tagal_dspy import Budget, RunSettings, SynthLoop, TableTask, compile_program, split_tasks
from tagal_dspy.few_shot import StratifiedSampler
from tagal_dspy.modules import Critic
from tagal_dspy.modules.critics import Written
from tagal_dspy.optimizers import Compiled


class RangeCritic(Critic):
    """Says how far the first numerical column reaches."""

    def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
        values = [float(row[0]) for row in written.rows if row[0]]
        said = f"the first column reaches from {min(values)} to {max(values)}" if values else "there are no rows"
        return dspy.Prediction(critique=said, discrepancies=())


class LowestFirst(StratifiedSampler):
    """The rows of each class with the lowest values in the first column."""

    def choose(self, task: TableTask, places: Any, n_shots: int, rng: np.random.Generator, accepted: Any) -> Any:
        return np.asarray(sorted(places, key=lambda place: float(task.train_rows[place][0] or 0))[:n_shots])


def share_below(limit: float) -> Any:
    """A metric: the share of rows whose first value is below a limit."""

    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        share = float((pred.table.iloc[:, 0] < limit).mean())
        feedback = f"{share:.0%} of the rows are below {limit} in the first column; more should be"
        return dspy.Prediction(score=share, feedback=feedback, objective_scores={"below": share})

    return metric


def compiled(task: TableTask, limit: float, reflection_lm: dspy.LM, budget: Budget, n_rows: int) -> Compiled:
    """The loop with the best instructions, and the proof that they are better."""
    settings = RunSettings(n_iter=2, n_shots=2, rows_per_draw=n_rows)
    loop = SynthLoop(settings, critic=RangeCritic(), sampler=LowestFirst())
    return compile_program(
        loop, split_tasks([task], n_rows), share_below(limit), "gepa", budget=budget, reflection_lm=reflection_lm
    )
