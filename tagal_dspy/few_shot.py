"""Few-shot samplers: which real rows a prompt shows."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from tagal_dspy.schema import NumericalColumn, Row
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


class NeighbourSampler:
    """A random row of each class and the rows most like it, in random order.

    A small model writes rows like those it was shown last. Shown rows of all kinds it mixes what does not belong
    together; shown neighbours it writes one more of them, and keeps the relations between columns.

    Likeness: the sum over columns of the difference in rank (numbers) or of a half where they differ (categories).
    """

    def sample(self, task: TableTask, n_shots: int, rng: np.random.Generator, label: str | None = None) -> list[Row]:
        """See `FewShotSampler.sample`."""
        groups = strata(task)
        chosen = []
        for positions in (groups if label is None else {label: groups[label]}).values():
            # A bounded pool keeps a draw from a million rows as fast as one from a thousand.
            pool = rng.permutation(positions)[:MAX_POOL]
            near = np.argsort(_distances(task, pool[0], pool), kind="stable")[:n_shots]
            chosen.append(rng.permutation(pool[near]))
        return [task.train_rows[position] for position in np.concatenate(chosen)]


MAX_POOL = 2000
"""Rows among which neighbours are looked for."""

SAMPLERS: dict[str, type[FewShotSampler]] = {"stratified": StratifiedSampler, "neighbours": NeighbourSampler}

_encoded: WeakKeyDictionary[TableTask, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


def _distances(task: TableTask, position: int, pool: np.ndarray) -> np.ndarray:
    ranks, codes = _encodings(task)
    distances = np.abs(ranks[pool] - ranks[position]).sum(1) + 0.5 * (codes[pool] != codes[position]).sum(1)
    return np.asarray(distances)


def _encodings(task: TableTask) -> tuple[np.ndarray, np.ndarray]:
    """Ranks in [0, 1] of the numerical columns and integer codes of the others, row by row."""
    if task not in _encoded:
        ranks: list[np.ndarray] = [np.zeros(len(task.train))]
        codes: list[np.ndarray] = [np.zeros(len(task.train), dtype=int)]
        for column in task.schema.columns:
            values = task.train[column.name]
            if isinstance(column, NumericalColumn):
                ranks.append(pd.to_numeric(values).rank(pct=True).fillna(0.5).to_numpy(dtype=float))
            else:
                codes.append(pd.factorize(values)[0])
        _encoded[task] = (np.stack(ranks, axis=1), np.stack(codes, axis=1))
    return _encoded[task]


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
