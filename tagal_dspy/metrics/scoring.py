"""Scores of predictions, for many weightings of the test rows at once: that is what makes a bootstrap cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tagal_dspy.errors import SettingsError
from tagal_dspy.metrics.tables import Matrix

_TINY = 1e-15


class Metric(NamedTuple):
    """A score.

    Attributes:
        score: from the truth (class codes or numbers), what is predicted (a probability of each class, or numbers)
            and the weights (one row for each weighting) to one score for each weighting.
        floor: from the number of classes to what a model without knowledge scores.
    """

    score: Callable[[Matrix, Matrix, Matrix], Matrix]
    floor: Callable[[int], float]


def metric(name: str, *, regression: bool) -> Metric:
    """The metric of that name; raises `SettingsError`."""
    known = _REGRESSION if regression else _CLASSIFICATION
    if name not in known:
        problem = "regression" if regression else "classification"
        raise SettingsError(f"metric {name!r} is not one for {problem}; use {', '.join(known)}")
    return known[name]


def roc_auc(truth: Matrix, predicted: Matrix, weights: Matrix) -> Matrix:
    """Area under the ROC curve, macro one-vs-rest over the classes that the test rows have.

    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> roc_auc(np.array([0, 1, 1]), probabilities, np.ones((1, 3)))
    array([1.])
    """
    present = np.unique(truth).astype(int)
    # With two classes, and probabilities that add up to 1, both areas are the same.
    chosen = present[-1:] if predicted.shape[1] == 2 else present
    return np.asarray(np.mean([_auc(truth == label, predicted[:, label], weights) for label in chosen], axis=0))


def _auc(positive: npt.NDArray[np.bool_], ranks: Matrix, weights: Matrix) -> Matrix:
    order = np.argsort(ranks, kind="stable")
    starts = np.flatnonzero(np.diff(ranks[order], prepend=-np.inf))
    ups = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    downs = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(downs, axis=1) - downs / 2
    return np.asarray((ups * below).sum(axis=1) / (ups.sum(axis=1) * downs.sum(axis=1)))


def accuracy(truth: Matrix, predicted: Matrix, weights: Matrix) -> Matrix:
    """Share of rows whose most probable class is the true one."""
    return np.asarray(weights @ (predicted.argmax(axis=1) == truth) / weights.sum(axis=1))


def balanced_accuracy(truth: Matrix, predicted: Matrix, weights: Matrix) -> Matrix:
    """Mean over the classes of the share of their rows that is found."""
    found = predicted.argmax(axis=1) == truth
    labels = np.unique(truth)
    return np.asarray(np.mean([weights @ (found & (truth == c)) / (weights @ (truth == c)) for c in labels], axis=0))


def f1(truth: Matrix, predicted: Matrix, weights: Matrix) -> Matrix:
    """F1, macro over the classes that are true or predicted somewhere: no class is the positive one."""
    chosen = predicted.argmax(axis=1)
    scores = []
    for label in np.union1d(truth, chosen):
        both = weights @ ((truth == label) & (chosen == label))
        either = weights @ (truth == label) + weights @ (chosen == label)
        scores.append(2 * both / np.maximum(either, _TINY))
    return np.asarray(np.mean(scores, axis=0))


def log_loss(truth: Matrix, predicted: Matrix, weights: Matrix) -> Matrix:
    """Mean negative logarithm of the probability of the true class; lower is better."""
    given = np.clip(predicted[np.arange(len(truth)), truth.astype(int)], _TINY, 1.0)
    return np.asarray(weights @ -np.log(given) / weights.sum(axis=1))


def r2(truth: Matrix, predicted: Matrix, weights: Matrix) -> Matrix:
    """Share of the variance that is explained; negative where the mean would do better."""
    mean = (weights @ truth / weights.sum(axis=1))[:, None]
    spread = (weights * (truth - mean) ** 2).sum(axis=1)
    return np.asarray(1 - weights @ (truth - predicted) ** 2 / np.maximum(spread, _TINY))


def rank_correlation(truth: Matrix, predicted: Matrix, weights: Matrix) -> Matrix:
    """Spearman's; resamples keep the ranks of all test rows. 0 where the predictions are constant."""
    from scipy.stats import rankdata

    total = weights.sum(axis=1)[:, None]
    ranks = [np.broadcast_to(rankdata(values), weights.shape) for values in (truth, predicted)]
    a, b = (each - (weights * each).sum(axis=1, keepdims=True) / total for each in ranks)
    norm = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    return np.asarray((weights * a * b).sum(axis=1) / np.maximum(norm, _TINY))


_CLASSIFICATION = {
    "roc_auc": Metric(roc_auc, lambda n_classes: 0.5),
    "f1": Metric(f1, lambda n_classes: 0.0),
    "balanced_accuracy": Metric(balanced_accuracy, lambda n_classes: 1 / n_classes),
    "accuracy": Metric(accuracy, lambda n_classes: 1 / n_classes),
    "log_loss": Metric(log_loss, lambda n_classes: float(np.log(n_classes))),
}
_REGRESSION = {
    "r2": Metric(r2, lambda n_classes: 0.0),
    "rank_correlation": Metric(rank_correlation, lambda n_classes: 0.0),
}
