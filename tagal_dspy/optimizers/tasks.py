"""Generation tasks: what optimizers call examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import dspy

from tagal_dspy.errors import SettingsError
from tagal_dspy.task import TableTask

MIN_HELD_OUT = 6
"""With fewer pairs not even a gain on every one of them is significant at 5 % (sign flips, two-sided)."""


def generation_tasks(task: TableTask, n_rows: int, seeds: Iterable[int]) -> list[dspy.Example]:
    """Examples for optimizers and `dspy.Evaluate`: one table to write each, without any row in them."""
    inputs = ("task", "n_rows", "seed", "if_short")
    return [dspy.Example(task=task, n_rows=n_rows, seed=seed, if_short="return").with_inputs(*inputs) for seed in seeds]


class Tasks(NamedTuple):
    """Generation tasks to learn from, to choose by, and to prove a gain on; no two alike."""

    train: list[dspy.Example]
    valid: list[dspy.Example]
    held_out: list[dspy.Example]

    def check(self) -> None:
        """Raise `SettingsError` where tasks overlap or are too few."""
        parts = {name: {task_key(each) for each in part} for name, part in self._asdict().items()}
        for one, other in (("train", "valid"), ("train", "held_out"), ("valid", "held_out")):
            both = parts[one] & parts[other]
            if both:
                raise SettingsError(f"{len(both)} tasks are both in {one} and in {other}; use other seeds")
        for name, least in (("train", 1), ("valid", 1), ("held_out", MIN_HELD_OUT)):
            if len(parts[name]) < least:
                raise SettingsError(f"{len(parts[name])} tasks in {name}; give at least {least} different ones")


def split_tasks(
    tables: Sequence[TableTask], n_rows: int, *, n_train: int = 4, n_valid: int = 4, n_held_out: int = 8, seed: int = 0
) -> Tasks:
    """Tasks with a seed of their own each.

    Args:
        tables: one or more. Of several the last is held out, and the others take turns in training and validation.
        n_rows: of every task.
        n_train, n_valid, n_held_out: tasks of each kind.
        seed: tasks of equal seeds are equal.
    """
    seen = tables[:-1] or tables
    first = 1_000_000 * seed

    def rotated(tables: Sequence[TableTask], n_tasks: int, first: int) -> list[dspy.Example]:
        each = (generation_tasks(tables[place % len(tables)], n_rows, [first + place]) for place in range(n_tasks))
        return [task for tasks in each for task in tasks]

    return Tasks(
        rotated(seen, n_train, first),
        rotated(seen, n_valid, first + n_train),
        rotated(tables[-1:], n_held_out, first + n_train + n_valid),
    )


def task_key(example: dspy.Example) -> str:
    """Names a generation task."""
    return f"{example.task.id}/{example.n_rows}/{example.seed}"
