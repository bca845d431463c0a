"""Downstream utility: how well a model does on real rows when it was trained on synthetic ones.

TSTR trains on synthetic, TRTR on real rows, `combined` on mixes of both; all test on real rows that neither saw.
Source: TSTR after Esteban et al. (arXiv:1706.02633); the regimes of TAGAL (arXiv:2509.04152, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.metrics import scoring
from tagal_dspy.metrics.models import Classifier, make_model, model_name
from tagal_dspy.metrics.tables import Encoder, Matrix, in_canonical_order, one_thread, parallel, ready
from tagal_dspy.schema import TableSchema

DEFAULT_MODELS: tuple[Classifier, ...] = ("LR", "RF", "HGB")
DEFAULT_MIXES = (0.25, 0.5, 0.75)
_SEEDLESS = ("LR", "HGB")
"""Equal rows give these models an equal fit whatever the seed."""


@dataclass(frozen=True)
class Utility:
    """What models trained on a table are worth.

    Attributes:
        value: mean over classifiers and seeds.
        by_classifier: mean over seeds of each classifier.
        reason: why the table got the floor; empty where models could be trained.
        draws: `value` again and again, with resampled test rows and classifier seeds; empty unless asked for.
    """

    value: float
    by_classifier: Mapping[str, float]
    reason: str = ""
    draws: Matrix = field(default_factory=lambda: np.empty(0), repr=False, compare=False)


@dataclass(frozen=True)
class Learning:
    """How utility is measured.

    Args:
        metric: `roc_auc` (macro one-vs-rest for three or more classes), `f1` (macro), `balanced_accuracy`,
            `accuracy`, `log_loss` (lower is better), `r2` or `rank_correlation`; None is `roc_auc`, or `r2` for
            regression.
        classifiers: names of `MODELS` or scikit-learn estimators.
        seeds: of the classifiers; the value is the mean over them.
        n_bootstrap: how many resamples of test rows (within classes) and seeds to score besides.
        seed: of the resamples; tables scored with one seed are resampled alike, so that they can be compared.
    """

    metric: str | None = None
    classifiers: Sequence[Classifier] = DEFAULT_MODELS
    seeds: Sequence[int] = (0, 1, 2)
    n_bootstrap: int = 0
    seed: int = 0


def tstr(
    *, synthetic: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema, learning: Learning | None = None
) -> Utility:
    """Train on synthetic, test on real.

    Args:
        synthetic: rows to train on.
        holdout: real rows that the program never saw.
        schema: of both; names the target.
        learning: classifiers, metric and seeds.

    Returns:
        Utility in [0, 1], higher is better; `log_loss` is not bounded and lower is better, `r2` may be negative. A
        table with one class or no usable row scores the floor, with the reason.

    Raises:
        DataError: the frames do not fit the schema, or the holdout has one class only.
        SettingsError: no target, or an unknown metric or classifier.

    >>> frame = pd.DataFrame({"x": range(40), "y": ["no"] * 20 + ["yes"] * 20})
    >>> schema = TableSchema.infer(frame, target="y")
    >>> tstr(synthetic=frame, holdout=frame, schema=schema, learning=Learning(classifiers=["LR"])).value
    1.0
    >>> tstr(synthetic=frame.head(20), holdout=frame, schema=schema)
    Utility(value=0.5, by_classifier={}, reason="the rows to train on have one class only, 'no'")
    """
    synthetic, holdout = ready(schema, synthetic=synthetic, holdout=holdout)
    return Trial(schema, holdout, learning or Learning()).score(synthetic)


def trtr(
    *, real: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema, learning: Learning | None = None
) -> Utility:
    """Train on real, test on real: what `tstr` is compared with. See `tstr`."""
    real, holdout = ready(schema, real=real, holdout=holdout)
    return Trial(schema, holdout, learning or Learning()).score(real)


def combined(
    *,
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: TableSchema,
    mixes: Sequence[float] = DEFAULT_MIXES,
    learning: Learning | None = None,
    seed: int = 0,
) -> dict[float, Utility]:
    """Train on real and synthetic rows together, as many altogether as the smaller table has. See `tstr`.

    Args:
        real: rows to mix with.
        synthetic: rows to mix in.
        holdout: real rows to test on.
        schema: of all three.
        mixes: shares of synthetic rows, each between 0 and 1.
        learning: classifiers, metric and seeds.
        seed: of the choice of rows.

    Returns:
        Utility by share of synthetic rows.
    """
    real, synthetic, holdout = ready(schema, real=real, synthetic=synthetic, holdout=holdout)
    trial = Trial(schema, holdout, learning or Learning())
    n_rows = min(len(real), len(synthetic))
    result = {}
    for share in mixes:
        rng = np.random.default_rng(seed)
        n_synthetic = round(share * n_rows)
        parts = [some_rows(real, n_rows - n_synthetic, rng), some_rows(synthetic, n_synthetic, rng)]
        result[share] = trial.score(in_canonical_order(pd.concat(parts, ignore_index=True)))
    return result


def some_rows(frame: pd.DataFrame, n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """That many rows, none twice where the frame has enough."""
    return frame.iloc[rng.choice(len(frame), n_rows, replace=n_rows > len(frame))]


class Trial:
    """Scores one table after the other on the same test rows, resampled alike.

    Args:
        schema: names the target.
        holdout: ready rows to test on.
        learning: classifiers, metric and seeds.

    Raises:
        DataError: the holdout has one class only.
        SettingsError: no target, or an unknown metric or classifier.
    """

    def __init__(self, schema: TableSchema, holdout: pd.DataFrame, learning: Learning) -> None:
        if schema.target is None:
            raise SettingsError("utility needs a target column; the schema names none")
        self.schema, self.target, self.learning = schema, schema.target, learning
        self.regression = schema.problem == "regression"
        self.holdout = holdout[holdout[self.target].notna()]
        self.classes = sorted({*schema.classes, *self.holdout[self.target]}) if not self.regression else []
        self.truth = self._codes(self.holdout[self.target])
        if len(np.unique(self.truth)) < 2:
            raise DataError("holdout: the target has fewer than two different values; nothing can be told apart")
        name = learning.metric or ("r2" if self.regression else "roc_auc")
        self.metric = scoring.metric(name, regression=self.regression)
        rng = np.random.default_rng(learning.seed)
        self.weights = _weights(self.truth, learning.n_bootstrap, rng, stratified=not self.regression)
        self.drawn_seeds = rng.integers(0, len(learning.seeds), learning.n_bootstrap)
        self.models = {model_name(each): each for each in learning.classifiers}
        for model in self.models.values():
            make_model(model, self.regression, 0)

    def score(self, rows: pd.DataFrame) -> Utility:
        """Utility of ready rows."""
        rows = rows[rows[self.target].notna()]
        if not self.regression:
            rows = rows[rows[self.target].isin(self.classes)]
        reason = self._unfit(rows[self.target])
        if reason:
            floor = self.metric.floor(len(self.classes))
            return Utility(floor, {}, reason, np.full(self.learning.n_bootstrap, floor))
        encoder = Encoder(self.schema, rows, leave_out=self.target)
        features, test, truth = encoder(rows), encoder(self.holdout), self._codes(rows[self.target])
        fits = [(name, seed) for name, model in self.models.items() for seed in self._seeds(model)]
        found = parallel(self._scores, [(self.models[name], seed, features, truth, test) for name, seed in fits])
        # One row of scores for each seed: the value first, then the resamples.
        by_model = {
            name: np.array([scores for (of, _), scores in zip(fits, found, strict=True) if of == name])
            for name in self.models
        }
        return Utility(
            value=float(np.mean([scores[:, 0].mean() for scores in by_model.values()])),
            by_classifier={name: float(scores[:, 0].mean()) for name, scores in by_model.items()},
            draws=np.mean([self._drawn(scores) for scores in by_model.values()], axis=0),
        )

    def _unfit(self, targets: pd.Series[Any]) -> str:
        if len(targets) < 2:
            return f"{len(targets)} rows to train on have a usable target; at least 2 are needed"
        if not self.regression and len(targets.unique()) == 1:
            return f"the rows to train on have one class only, {targets.iloc[0]!r}"
        return ""

    def _seeds(self, model: Classifier) -> Sequence[int]:
        return self.learning.seeds[:1] if model in _SEEDLESS else self.learning.seeds

    def _drawn(self, scores: Matrix) -> Matrix:
        n_drawn = self.learning.n_bootstrap
        return np.asarray(scores[self.drawn_seeds % len(scores), np.arange(1, n_drawn + 1)])

    def _scores(self, model: Classifier, seed: int, features: Matrix, truth: Matrix, test: Matrix) -> Matrix:
        estimator = make_model(model, self.regression, seed)
        if self.regression:
            with one_thread():
                predicted = np.asarray(estimator.fit(features, truth).predict(test), dtype=float)
        else:
            predicted = _probabilities(estimator, features, truth.astype(int), test, len(self.classes))
        blocks = np.array_split(self.weights, max(1, self.weights.size // 4_000_000))
        return np.concatenate([self.metric.score(self.truth, predicted, block.astype(float)) for block in blocks])

    def _codes(self, targets: pd.Series[Any]) -> Matrix:
        if self.regression:
            return np.asarray(targets.to_numpy(), dtype=float)
        return np.asarray(pd.Categorical(targets, categories=self.classes).codes, dtype=float)


def _weights(truth: Matrix, n_bootstrap: int, rng: np.random.Generator, *, stratified: bool) -> np.ndarray:
    """How often each test row counts: once in the first row, as drawn in each further one."""
    strata = np.unique(truth, return_inverse=True)[1] if stratified else np.zeros(len(truth), dtype=int)
    weights = np.ones((n_bootstrap + 1, len(truth)), dtype=np.uint8)
    for stratum in range(strata.max() + 1 if n_bootstrap else 0):
        places = np.flatnonzero(strata == stratum)
        counts = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=n_bootstrap)
        weights[1:, places] = counts
    return weights


def _probabilities(estimator: Any, features: Matrix, truth: np.ndarray, test: Matrix, n_classes: int) -> Matrix:
    """Probability of every class; classes that were not trained on get 0."""
    present, codes = np.unique(truth, return_inverse=True)
    with one_thread():
        estimator.fit(features, codes)
        if hasattr(estimator, "predict_proba"):
            known = estimator.predict_proba(test)
        else:
            known = np.eye(len(present))[estimator.predict(test)]
    result = np.zeros((len(test), n_classes))
    result[:, present] = known
    return result
