"""Label curation: generated rows whose label the real rows confidently contradict (after CLLM, Seedat et al., 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tagal_dspy.profile import profile_of
from tagal_dspy.schema import CategoricalColumn, Reject, Row
from tagal_dspy.task import TableTask

LEAST_PLAUSIBLE = 0.2
"""A label is noise where it is less plausible than this share of the real rows of its class have theirs."""

MAX_ROWS = 5_000
N_TREES = 200


class LabelCurator:
    """Rejects rows whose label disagrees with what the training rows of a task say.

    A random forest learns the label from the training rows (at most `MAX_ROWS`, evenly spaced), and tells of each of
    them, by the trees that did not see it, how plausible its own label is. A generated row is rejected where its label
    is less plausible than the `LEAST_PLAUSIBLE` quantile of the real rows of that class: a table whose labels are noisy
    keeps its noise. Validation and test rows are not read. Tasks without classes have nothing to curate.

    Args:
        task: with a binary or multiclass target.
    """

    def __init__(self, task: TableTask) -> None:
        self._task = task
        self._classes = task.schema.classes
        if self._classes and task.schema.target is not None:
            self._place = task.schema.names.index(task.schema.target)
            self._fit(task.train_rows[:: math.ceil(len(task.train_rows) / MAX_ROWS)])

    def curated(self, rows: Sequence[Row]) -> tuple[list[Row], list[Reject]]:
        """The rows whose labels are plausible, and the others as rejects."""
        if not rows or not self._classes:
            return list(rows), []
        # As the forest does it, without its machinery, which takes most of the time where rows are few.
        features = self._features(rows).astype(np.float32)
        chances = sum(tree.predict_proba(features, check_input=False) for tree in self._forest.estimators_) / N_TREES
        kept, noisy = [], []
        for row, chance in zip(rows, self._own(chances, rows), strict=True):
            label = row[self._place] or ""
            if chance >= self._least.get(label, 0.0):
                kept.append(row)
            else:
                text = ",".join(cell or "" for cell in row)
                detail = f"the real rows give the label {label!r} a chance of {chance:.0%}"
                noisy.append(Reject("label_noise", text, detail))
        return kept, noisy

    def _fit(self, rows: Sequence[Row]) -> None:
        from sklearn.ensemble import RandomForestClassifier

        labels = np.array([row[self._place] or "" for row in rows])
        self._forest = RandomForestClassifier(N_TREES, random_state=0, min_samples_leaf=2, oob_score=True)
        self._forest.fit(self._features(rows), labels)
        plausible = self._own(self._forest.oob_decision_function_, rows)
        self._least = {label: float(np.quantile(plausible[labels == label], LEAST_PLAUSIBLE)) for label in set(labels)}

    def _own(self, chances: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
        """The chance of each row's own label; 1 for a label that the real rows do not have."""
        known = {label: place for place, label in enumerate(self._forest.classes_)}
        places = [known.get(row[self._place]) for row in rows]
        return np.array([1.0 if at is None else each[at] for at, each in zip(places, chances, strict=True)])

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
