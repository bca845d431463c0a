"""Loops inside other DSPy programs: several tables at once with `dspy.Parallel`, the best of some with `dspy.BestOfN`.

`dspy.Parallel` takes pairs of a program and its inputs. `dspy.BestOfN` gives each attempt a `rollout_id` of its own;
draws of a loop are named by its seed, so that a module around the loop turns attempts into seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import dspy

from tagal_dspy import SynthLoop, TableMetric, TableTask


def tables_of_seeds(loop: SynthLoop, task: TableTask, n_rows: int, seeds: Sequence[int]) -> list[dspy.Prediction]:
    """A table for each seed, all at once."""
    parallel = dspy.Parallel(num_threads=4, disable_progress_bar=True)
    return list(parallel([(loop, {"task": task, "n_rows": n_rows, "seed": seed}) for seed in seeds]))


class Attempt(dspy.Module):
    """A loop whose seed is the number of the attempt."""

    def __init__(self, loop: SynthLoop) -> None:
        super().__init__()
        self.loop = loop

    def forward(self, task: TableTask, n_rows: int) -> dspy.Prediction:
        return self.loop(task=task, n_rows=n_rows, seed=self.get_lm().kwargs["rollout_id"])


def best_table(loop: SynthLoop, task: TableTask, n_rows: int, n_attempts: int, metric: TableMetric) -> dspy.Prediction:
    """The table that scores best on the validation rows of the task."""

    def reward(inputs: dict[str, object], pred: dspy.Prediction) -> float:
        return float(metric.evaluate(task, pred.table).score)

    best = dspy.BestOfN(module=Attempt(loop), N=n_attempts, reward_fn=reward, threshold=float("inf"))
    return best(task=task, n_rows=n_rows)
