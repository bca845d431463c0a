"""The protocol of the TAGAL authors, so that a row of their tables can be computed again (arXiv:2509.04152).

Their feature handling is kept apart from ours: numbers and one-hot categories, fitted on the rows trained on, then
min-max scaled. Missing numbers stay missing, which all three classifiers take; a missing category is one more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.metrics.models import make_model
from tagal_dspy.metrics.tables import Matrix, one_thread, ready
from tagal_dspy.schema import TableSchema
from tagal_dspy.schema.columns import category_text

REGIMES = ("trtr", "tstr", "combined")
CLASSIFIERS = ("LGB", "RF", "XGB")
METRICS = ("roc_auc", "accuracy")
SPLIT_SEED = 42
_N_RUNS = 5
"""Runs of the random forest, the only one of the three that differs from run to run."""


class Spread(NamedTuple):
    """Mean and standard deviation over the runs."""

    mean: float
    std: float


@dataclass(frozen=True)
class PaperResult:
    """What the authors' tables show.

    Attributes:
        n_rows: rows trained on.
        utility: by regime, classifier and metric; `tstr` and `combined` only with a synthetic table.
        duplicates: per cent of the synthetic rows equal to an earlier one; nan without a synthetic table.
        collisions: per cent equal to a real row, test rows included.
    """

    n_rows: int
    utility: Mapping[str, Mapping[str, Mapping[str, Spread]]]
    duplicates: float = float("nan")
    collisions: float = float("nan")


def paper_protocol(
    *,
    real: pd.DataFrame,
    target: str,
    synthetic: pd.DataFrame | None = None,
    n_rows: int | None = None,
    classifiers: Sequence[str] = CLASSIFIERS,
) -> PaperResult:
    """Train and test as the authors did: `utility` in [0, 1], higher is better; binary targets only.

    Args:
        real: the whole real table; `real.sample(frac=0.8, random_state=42)` trains and the rest tests.
        target: the column to predict, with two classes; the second in sorted order is the positive one.
        synthetic: rows to train on; those equal to a real row are dropped first.
        n_rows: rows to train on in every regime; as many as there are where None.
        classifiers: some of `CLASSIFIERS`.

    Raises:
        DataError: columns differ, the target is not binary, or there are fewer than `n_rows` rows; all at once.
        SettingsError: LightGBM or XGBoost is not installed.
    """
    empty = [name for name in real.columns if real[name].isna().all()]
    real, synthetic = (
        real.drop(columns=empty),
        None if synthetic is None else synthetic.drop(columns=empty, errors="ignore"),
    )
    schema = TableSchema.infer(real, target)
    real = real[list(schema.names)]  # nothing is learned from an id
    train = real.sample(frac=0.8, random_state=SPLIT_SEED)
    kept = _checked(real, synthetic, schema, classifiers)
    available = len(train) if kept is None else min(len(train), len(kept))
    n_rows = n_rows or available
    if not 2 <= n_rows <= available:
        raise DataError(f"n_rows={n_rows}: there are {available} rows to train on that are not equal to a real row")
    regimes, test = _regimes(train, kept, n_rows), real.drop(train.index)
    utility = {
        regime: {name: _scores(name, rows, test, target) for name in classifiers} for regime, rows in regimes.items()
    }
    if synthetic is None or kept is None:
        return PaperResult(n_rows, utility)
    n_different = len(set(schema.to_rows(synthetic)))
    shares = {"duplicates": 1 - n_different / len(synthetic), "collisions": 1 - len(kept) / len(synthetic)}
    return PaperResult(n_rows, utility, **{name: 100 * share for name, share in shares.items()})


def _checked(
    real: pd.DataFrame, synthetic: pd.DataFrame | None, schema: TableSchema, classifiers: Sequence[str]
) -> pd.DataFrame | None:
    """The synthetic rows that are equal to no real row; raises `DataError` with all that is wrong."""
    problems = [f"classifier {name!r}: use {', '.join(CLASSIFIERS)}" for name in classifiers if name not in CLASSIFIERS]
    if schema.problem != "binary":
        problems.append(f"real: the target {schema.target!r} is not binary; the paper's are")
    if synthetic is not None:
        try:
            # For its complaints alone: here rows keep their order, which decides what `sample` draws.
            ready(schema, synthetic=synthetic)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    if synthetic is None:
        return None
    known = set(schema.to_rows(real))
    return synthetic.loc[[row not in known for row in schema.to_rows(synthetic)], list(schema.names)]


def _regimes(train: pd.DataFrame, kept: pd.DataFrame | None, n_rows: int) -> dict[str, pd.DataFrame]:
    regimes = {"trtr": train.sample(n_rows, random_state=SPLIT_SEED)}
    if kept is not None:
        half = n_rows // 2
        regimes["tstr"] = kept.sample(n_rows, random_state=SPLIT_SEED)
        parts = [regimes["trtr"].head(n_rows - half), regimes["tstr"].head(half)]
        regimes["combined"] = pd.concat(parts, ignore_index=True)
    return regimes


def _scores(name: str, rows: pd.DataFrame, test: pd.DataFrame, target: str) -> dict[str, Spread]:
    from sklearn.metrics import accuracy_score, roc_auc_score

    positive = max(test[target].dropna().unique())
    rows, test = rows[rows[target].notna()], test[test[target].notna()]
    encode = _encoder(rows, test, target)
    # As text, because a table read from a file may have 1.0 where the real one has 1.
    labels, truth = ((frame[target].map(category_text) == category_text(positive)).to_numpy() for frame in (rows, test))
    features = encode(rows)
    found: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for run in range(_N_RUNS if name == "RF" else 1):
        if labels.all() or not labels.any():
            chances = np.full(len(test), float(labels.all()))
        else:
            with one_thread():
                chances = (
                    make_model(name, False, run).fit(features, labels.astype(int)).predict_proba(encode(test))[:, 1]
                )
        found["roc_auc"].append(float(roc_auc_score(truth, chances)))
        found["accuracy"].append(float(accuracy_score(truth, chances > 0.5)))
    return {metric: Spread(float(np.mean(values)), float(np.std(values))) for metric, values in found.items()}


def _encoder(rows: pd.DataFrame, test: pd.DataFrame, target: str) -> Callable[[pd.DataFrame], Matrix]:
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

    names = [name for name in rows.columns if name != target and rows[name].notna().any()]
    # By the real table: a synthetic column of categories can look like numbers, where all of its rows do.
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(test[name])]
    others = [name for name in names if name not in numbers]

    def plain(frame: pd.DataFrame) -> pd.DataFrame:
        cells = {name: pd.to_numeric(frame[name], errors="coerce").to_numpy(float, na_value=np.nan) for name in numbers}
        texts = {name: [category_text(each) if pd.notna(each) else np.nan for each in frame[name]] for name in others}
        return pd.DataFrame(cells | texts)

    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    blocks = make_column_transformer(("passthrough", numbers), (one_hot, others))
    encode = make_pipeline(blocks, MinMaxScaler()).fit(plain(rows))
    return lambda frame: np.asarray(encode.transform(plain(frame)))
