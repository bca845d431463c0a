"""Label curation: generated rows whose label the real rows confidently contradict (after CLLM, Seedat et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tagal_dspy.profile import profile_of
from tagal_dspy.schema import CategoricalColumn, Reject, Row
from tagal_dspy.task import TableTask

CONTRADICTED = 0.25
"""A label is noise where a model of the real rows gives it less than this chance."""

N_TREES = 200


class LabelCurator:
    """Rejects rows whose label disagrees with what the training rows of a task say.

    A random forest learns the label from the training rows; a row is rejected where the forest gives its label a
    chance below `CONTRADICTED`. Validation and test rows are not read. Tasks without classes have nothing to curate.

    Args:
        task: with a binary or multiclass target.
    """

    def __init__(self, task: TableTask) -> None:
        self._task = task
        self._classes = task.schema.classes
        if self._classes and task.schema.target is not None:
            self._place = task.schema.names.index(task.schema.target)
            self._forest = self._fitted(task.train_rows)

    def curated(self, rows: Sequence[Row]) -> tuple[list[Row], list[Reject]]:
        """The rows whose labels are plausible, and the others as rejects."""
        if not rows or not self._classes:
            return list(rows), []
        known = {label: place for place, label in enumerate(self._forest.classes_)}
        chances = self._forest.predict_proba(self._features(rows))
        own = [chances[i, known[row[self._place]]] if row[self._place] in known else 1.0 for i, row in enumerate(rows)]
        kept = [row for row, chance in zip(rows, own, strict=True) if chance >= CONTRADICTED]
        noisy = [
            Reject("label_noise", ",".join(cell or "" for cell in row), f"the real rows give its label {chance:.0%}")
            for row, chance in zip(rows, own, strict=True)
            if chance < CONTRADICTED
        ]
        return kept, noisy

    def _fitted(self, rows: Sequence[Row]) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        labels = [row[self._place] for row in rows]
        return RandomForestClassifier(N_TREES, random_state=0, min_samples_leaf=2).fit(self._features(rows), labels)

    def _features(self, rows: Sequence[Row]) -> np.ndarray:
        profile, columns = profile_of(self._task), list(zip(*rows, strict=True))
        encoded = []
        for place, column in enumerate(self._task.schema.modelled):
            if place == self._place:
                continue
            levels = profile.levels[place]
            if isinstance(column, CategoricalColumn):
                encoded.append(np.eye(levels.n_levels)[levels.coded(columns[place])])
            else:
                encoded.append(levels.numbers(columns[place])[:, None])
        return np.concatenate(encoded, axis=1)
