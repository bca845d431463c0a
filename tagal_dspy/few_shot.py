"""Few-shot samplers: which real rows a prompt shows."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd

from tagal_dspy.schema import Row
from tagal_dspy.task import TableTask

N_BINS = 4
"""Quantile bins of a regression target; each counts as a class."""


class FewShotSampler(Protocol):
    """Chooses real rows for a prompt.

    Contract: only training rows, each at most once; equal task, generator state and arguments give equal rows; where
    the table cannot supply `n_shots` rows of a class, all there are.
    """

    def sample(self, task: TableTask, n_shots: int, rng: np.random.Generator, label: str | None = None) -> list[Row]:
        """Draw rows.

        Args:
            task: whose training rows to draw from.
            n_shots: rows of each class (of each quantile bin for regression; altogether without a target).
            rng: the only source of randomness.
            label: draw rows of this class alone.

        Returns:
            Canonical rows, grouped by class as in the paper.
        """
        ...


class StratifiedSampler:
    """The paper's sampler: `n_shots` random rows of each class, class by class (arXiv:2509.04152, section 3.1)."""

    def sample(self, task: TableTask, n_shots: int, rng: np.random.Generator, label: str | None = None) -> list[Row]:
        """See `FewShotSampler.sample`."""
        groups = strata(task)
        wanted = groups if label is None else {label: groups[label]}
        chosen = [rng.permutation(positions)[:n_shots] for positions in wanted.values()]
        return [task.train_rows[position] for position in np.concatenate(chosen)]


def strata(task: TableTask) -> dict[str, np.ndarray]:
    """Positions of the training rows of each class or quantile bin, in the classes' order."""
    schema = task.schema
    if schema.target is None:
        return {"all": np.arange(len(task.train))}
    if schema.classes:
        place = schema.names.index(schema.target)
        labels = np.array([row[place] for row in task.train_rows], dtype=object)
        return {label: np.flatnonzero(labels == label) for label in schema.classes if (labels == label).any()}
    values = pd.to_numeric(task.train[schema.target])
    bins = pd.qcut(values, N_BINS, labels=False, duplicates="drop").to_numpy()
    return {f"bin {number}": np.flatnonzero(bins == number) for number in np.unique(bins)}


def scarce_strata(task: TableTask, n_shots: int) -> dict[str, int]:
    """Classes (or bins) with fewer training rows than few-shots are wanted, and how many they have."""
    return {name: len(positions) for name, positions in strata(task).items() if len(positions) < n_shots}
