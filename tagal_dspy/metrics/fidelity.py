"""How like the real table a synthetic one is: SDMetrics' reports, detection and neighbourhoods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.metrics.models import make_model
from tagal_dspy.metrics.tables import Encoder, Matrix, nearest, one_thread, quiet, ready, squared_distances
from tagal_dspy.schema import TableSchema


@dataclass(frozen=True)
class PairTrend:
    """How like the relation of two columns is: `score` in [0, 1], and SDMetrics' correlation or association there."""

    first: str
    second: str
    score: float
    real: float


@dataclass(frozen=True)
class Quality:
    """SDMetrics' quality.

    Attributes:
        score: mean of `shapes` and `trends`; in [0, 1], higher is better.
        shapes: mean of `by_column`.
        trends: mean of `pairs`; nan where no two real columns are related.
        by_column: Kolmogorov-Smirnov or total-variation complement of each column.
        pairs: the related pairs of columns.
    """

    score: float
    shapes: float
    trends: float
    by_column: Mapping[str, float]
    pairs: tuple[PairTrend, ...]


def quality(*, real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> Quality:
    """The quality report of SDMetrics: column shapes, and trends of the pairs that are related in the real table.

    One thing differs from the report: it leaves out the correlation of a column that is constant in the synthetic
    table, so that a collapsed column would hide what it breaks. Here its correlation is 0.

    Args:
        real: rows to compare with.
        synthetic: rows to judge.
        schema: of both.

    Raises:
        DataError: the frames do not fit the schema, or one has fewer than two rows.

    Source: SDMetrics `QualityReport`, with its thresholds for related pairs.
    """
    real, synthetic = ready(schema, real=real, synthetic=synthetic)
    return quality_of(real, synthetic, schema)


def quality_of(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> Quality:
    """Quality of frames that are ready."""
    from sdmetrics.reports import QualityReport

    report = QualityReport()
    with quiet():
        _generate(report, real, synthetic, schema)
        columns = report.get_details("Column Shapes")
        details = report.get_details("Column Pair Trends")
        pairs = tuple(_related(details, real, synthetic, report.real_correlation_threshold))
    by_column = dict(zip(columns["Column"], columns["Score"].fillna(0.0).astype(float), strict=True))
    shapes = float(np.mean(list(by_column.values())))
    trends = float(np.mean([pair.score for pair in pairs])) if pairs else float("nan")
    return Quality(float(np.nanmean([shapes, trends])), shapes, trends, by_column, pairs)


def _related(
    details: pd.DataFrame, real: pd.DataFrame, synthetic: pd.DataFrame, threshold: float
) -> Iterator[PairTrend]:
    for row in details.to_dict("records"):
        first, second, score = str(row["Column 1"]), str(row["Column 2"]), float(row["Score"])
        if row["Meets Threshold?"] is True:
            strength = row["Real Correlation"] if pd.isna(row["Real Association"]) else row["Real Association"]
            # Related, and yet without a score: in the synthetic rows the correlation does not exist.
            yield PairTrend(first, second, 1 - abs(strength) / 2 if np.isnan(score) else score, float(strength))
        elif pd.isna(row["Meets Threshold?"]) and row["Metric"] == "CorrelationSimilarity":
            strength = float(real[first].corr(real[second]))
            if abs(strength) > threshold and 1 in (synthetic[first].nunique(), synthetic[second].nunique()):
                yield PairTrend(first, second, 1 - abs(strength) / 2, strength)


def validity(*, real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> dict[str, float]:
    """Share of valid cells of each column: within the real range, of a real category, missing only where real ones are.

    Range [0, 1], higher is better; see `quality` for arguments and errors. Source: SDMetrics `DiagnosticReport`.
    """
    real, synthetic = ready(schema, real=real, synthetic=synthetic)
    return validity_of(real, synthetic, schema)


def validity_of(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> dict[str, float]:
    """Validity of frames that are ready."""
    from sdmetrics.reports import DiagnosticReport

    report = DiagnosticReport()
    with quiet():
        _generate(report, real, synthetic, schema)
        details = report.get_details("Data Validity")
    return dict(zip(details["Column"], details["Score"].astype(float), strict=True))


def _generate(report: Any, real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> None:
    # More rows than this would be subsampled, without a seed and without a word.
    report.num_rows_subsample = None
    kinds = {column.name: {"sdtype": "categorical" if column.is_closed else "numerical"} for column in schema.modelled}
    metadata = {"tables": {"table": {"columns": kinds}}, "relationships": []}
    report.generate({"table": real}, {"table": synthetic}, metadata, verbose=False)


def detection(
    *,
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: TableSchema,
    classifier: Any = "HGB",
    n_folds: int = 3,
    seed: int = 0,
) -> float:
    """Classifier two-sample test: ROC AUC of telling synthetic rows from real ones, every row judged by a model that
    did not see it.

    Range [0, 1]; 0.5 is best (not to be told apart), 1.0 worst. See `quality` for arguments and errors. Source:
    Lopez-Paz and Oquab (arXiv:1610.06545).
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    real, synthetic = ready(schema, real=real, synthetic=synthetic, min_rows=n_folds)
    both = pd.concat([real, synthetic], ignore_index=True)
    # Fitted on both: a category that only one side has must be seen.
    features = Encoder(schema, both)(both)
    labels = np.repeat([0, 1], [len(real), len(synthetic)])
    scores = np.empty(len(both))
    for train, test in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(features, labels):
        with one_thread():
            model = make_model(classifier, False, seed).fit(features[train], labels[train])
            scores[test] = model.predict_proba(features[test])[:, 1]
    return float(roc_auc_score(labels, scores))


@dataclass(frozen=True)
class Neighbourhoods:
    """PRDC, each 1 at best.

    Attributes:
        precision: share of synthetic rows within reach of a real row (its k-th nearest real neighbour).
        recall: share of real rows within reach of a synthetic row.
        density: how many real rows reach a synthetic row, as a share of k; may exceed 1.
        coverage: share of real rows that reach a synthetic row.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(*, real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, k: int = 5) -> Neighbourhoods:
    """Precision, recall, density and coverage, in memory that does not grow with the product of the tables.

    See `quality` for arguments and errors. Distances are Euclidean after `Encoder`, fitted to the real rows. A row at
    exactly the reach counts as within it, so that a copy does where real rows repeat. Source: Naeem et al.
    (arXiv:2002.09797).
    """
    real, synthetic = ready(schema, real=real, synthetic=synthetic, min_rows=k + 1)
    encoder = Encoder(schema, real)
    known, made = encoder(real), encoder(synthetic)
    # The nearest neighbour of a row is itself.
    reach, made_reach = ((nearest(rows, rows, k + 1)[:, k] + 1e-6) ** 2 for rows in (known, made))
    n_reached = np.zeros(len(made), dtype=int)
    covered, recalled = (np.zeros(len(known), dtype=bool) for _ in range(2))
    for place, block in squared_distances(made, known):
        within = block <= reach
        n_reached[place] = within.sum(axis=1)
        covered |= within.any(axis=0)
        recalled |= (block <= made_reach[place, None]).any(axis=0)
    return Neighbourhoods(
        precision=float((n_reached > 0).mean()),
        recall=float(recalled.mean()),
        density=float(n_reached.mean() / k),
        coverage=float(covered.mean()),
    )


@dataclass(frozen=True)
class Supports:
    """`alpha_precision`, `beta_recall` and `authenticity`, each in [0, 1], higher is better."""

    alpha_precision: float
    beta_recall: float
    authenticity: float


def alpha_precision(*, real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> Supports:
    """Whether the most typical share alpha of one table holds that share of the other, for every alpha.

    See `quality` for arguments and errors. Supports are balls round the mean after `Encoder`, without a trained
    embedding. Source: Alaa et al. (arXiv:2102.08921), integrated as synthcity does.
    """
    real, synthetic = ready(schema, real=real, synthetic=synthetic)
    encoder = Encoder(schema, real)
    known, made = encoder(real), encoder(synthetic)
    alphas = np.linspace(0, 1, 30)
    to_real_centre = np.linalg.norm(made - known.mean(axis=0), axis=1)
    radii = np.quantile(np.linalg.norm(known - known.mean(axis=0), axis=1), alphas)
    precisions = (to_real_centre[:, None] <= radii).mean(axis=0)

    own = nearest(known, known, 2)[:, 1]
    distance, chosen = _nearest_row(known, made)
    spread = np.linalg.norm(made - made.mean(axis=0), axis=1)[chosen]
    recalls = ((distance <= own)[:, None] & (spread[:, None] <= np.quantile(spread, alphas))).mean(axis=0)
    from_made, original = _nearest_row(made, known)

    def score(values: Matrix) -> float:
        return float(max(0.0, 1 - np.abs(alphas - values).sum() / alphas.sum()))

    return Supports(score(precisions), score(recalls), float((own[original] < from_made).mean()))


def _nearest_row(rows: Matrix, others: Matrix) -> tuple[Matrix, np.ndarray]:
    distance, chosen = np.empty(len(rows)), np.empty(len(rows), dtype=int)
    for place, block in squared_distances(rows, others):
        chosen[place] = block.argmin(axis=1)
        distance[place] = np.sqrt(block.min(axis=1))
    return distance, chosen
