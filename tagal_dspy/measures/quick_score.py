"""A cheap, seeded score of a few rows: how much they look like real ones, and how well one learns from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.measures.profile import Floats, Ints, profile_of
from tagal_dspy.schema import Row
from tagal_dspy.task import TableTask

N_RESAMPLES = 8
"""Bootstrap samples of the rows from which the noise of a score is estimated."""


MIN_REAL_ROWS = 10
"""Real rows of a slot below which all real rows are the measure."""


class QuickScore:
    """Scores rows of one task in a few milliseconds; in [0, 1], higher is better.

    Half is fidelity: one minus the total variation distance to the validation rows, the mean over the pairs of columns
    in levels that `Profile.crossed` counts. Half is utility: a naive Bayes classifier learns from the rows and is
    tested on the validation rows (area under the ROC curve, the mean over classes). Without classes, or for rows of one
    class, fidelity counts alone.

    Args:
        task: whose validation rows are the measure, or its training rows where none are withheld; test rows are not
            read.
        slot: rows of this are scored. Its validation rows are few, so its training rows are the measure, or all
            validation rows where it has hardly any.
    """

    def __init__(self, task: TableTask, slot: Slot = ANY) -> None:
        schema, some = task.schema, profile_of(task, slot)
        whole = slot == ANY or len(some.rows) < MIN_REAL_ROWS
        self._profile = profile_of(task) if whole else some
        self._target = self._profile.target if schema.classes and whole else None
        real = (schema.to_rows(task.validation) or task.train_rows) if whole else some.rows
        self._real = self._profile.coded(real)
        self._shares = self._profile.crossed(self._real) / len(self._real)

    def __call__(self, rows: Sequence[Row]) -> float:
        """The score; 0 for no rows."""
        return self._score(self._profile.coded(rows)) if rows else 0.0

    def noise(self, rows: Sequence[Row]) -> float:
        """Standard deviation of the score over bootstrap samples of the rows; equal rows have equal noise."""
        if not rows:
            return 0.0
        cells, rng = self._profile.coded(rows), np.random.default_rng(0)
        samples = [cells[rng.integers(0, len(cells), len(cells))] for _ in range(N_RESAMPLES)]
        return float(np.std([self._score(sample) for sample in samples]))

    def _score(self, cells: Ints) -> float:
        distance = np.abs(self._profile.crossed(cells) / len(cells) - self._shares).sum() / 2
        fidelity = 1 - float(distance) / (len(self._profile.crossed_columns) * int(cells.shape[1]))
        return fidelity if self._target is None else (fidelity + self._utility(cells, self._target)) / 2

    def _utility(self, cells: Ints, target: int) -> float:
        features = [place for place in range(cells.shape[1]) if place != target]
        labels, real_labels = cells[:, target], self._real[:, target]
        if len(np.unique(labels)) < 2 or not features:
            return 0.5
        chances = self._bayes(cells[:, features], labels, self._real[:, features], features, target)
        present = [level for level in np.unique(real_labels) if (real_labels != level).any()]
        areas = [_area(chances[:, level], real_labels == level) for level in present]
        return float(np.mean(areas)) if areas else 0.5

    def _bayes(self, cells: Ints, labels: Ints, real: Ints, features: list[int], target: int) -> Floats:
        """Log-odds of each level of the target for the real rows, learned from the cells."""
        n_labels = self._profile.levels[target].n_levels
        scores = np.log(np.bincount(labels, minlength=n_labels) + 1.0)[None, :].repeat(len(real), axis=0)
        for column, place in enumerate(features):
            n_levels = self._profile.levels[place].n_levels
            counts = np.zeros((n_labels, n_levels))
            np.add.at(counts, (labels, cells[:, column]), 1.0)
            likely = np.log((counts + 1.0) / (counts + 1.0).sum(1, keepdims=True))
            scores += likely[:, real[:, column]].T
        odds = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return np.asarray(odds)


def _area(scores: Floats, positive: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    n_positive = int(positive.sum())
    above = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * (len(scores) - n_positive)))
