"""SMOTE as a baseline: rows between a real row and a neighbour of its class, by imbalanced-learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import SettingsError
from tagal_dspy.metrics.tables import quiet, ready, restore_numbers
from tagal_dspy.task import TableTask

_N_NEIGHBOURS = 5
_MISSING = "\0missing "
"""Before the name of a column that says which cells of another one are missing; SMOTE knows no missing numbers."""


def smote(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    """Rows of SMOTE-NC (Chawla et al. 2002, section 6.1), every class by its share; the target is a column like others.

    Raises:
        SettingsError: imbalanced-learn is not installed.
    """
    (rows,) = ready(task.schema, train=task.train)
    labels = rows[task.schema.target] if task.schema.classes else pd.Series("", index=rows.index)
    filled = _without_missing(rows)
    rng = np.random.default_rng(seed)
    with quiet():
        new = pd.concat(list(_of_each_class(filled, labels, n_rows, rng)), ignore_index=True)
    made = {}
    for column in task.schema.modelled:
        if column.is_free:  # there is nothing between two texts
            made[column.name] = (
                task.train[column.name].iloc[rng.integers(0, len(task.train), n_rows)].reset_index(drop=True)
            )
        elif column.is_closed:
            made[column.name] = column.restore([text or None for text in new[column.name]])
        else:
            numbers = new[column.name].to_numpy(dtype=float)
            if _MISSING + column.name in new:
                numbers = np.where(new[_MISSING + column.name] == "yes", np.nan, numbers)
            made[column.name] = restore_numbers(column, numbers)
    return pd.DataFrame(made)


def _without_missing(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with medians for missing numbers, and a column that says which they are."""
    filled = {}
    for name, values in rows.items():
        if not pd.api.types.is_float_dtype(values):
            filled[name] = values.fillna("")
        else:
            filled[name] = values.fillna(values.median())
            if values.isna().any():
                filled[_MISSING + str(name)] = values.isna().map({True: "yes", False: "no"}).astype(object)
    return pd.DataFrame(filled)


def _of_each_class(
    rows: pd.DataFrame, labels: pd.Series[Any], n_rows: int, rng: np.random.Generator
) -> Iterator[pd.DataFrame]:
    groups = list(labels.groupby(labels).indices.values())
    for group, count in zip(groups, rng.multinomial(n_rows, [len(each) / len(rows) for each in groups]), strict=True):
        of_class, seed = rows.iloc[group], int(rng.integers(2**31))
        if len(group) == 1 or count == 0:
            yield of_class.iloc[[0] * count]
            continue
        # A class is oversampled beside another one: a single row stands for that.
        classes = [1] * len(group) + [0]
        made, _ = _sampler(rows, len(group), count, seed).fit_resample(pd.concat([of_class, rows.iloc[:1]]), classes)
        yield made.iloc[len(classes) :]


def _sampler(rows: pd.DataFrame, n_real: int, n_new: int, seed: int) -> Any:
    try:
        from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC
    except ImportError as error:
        raise SettingsError(
            "smote needs imbalanced-learn; install it with `pip install 'tagal-dspy[peers]'`"
        ) from error
    categories = [name for name in rows if not pd.api.types.is_float_dtype(rows[name])]
    how: dict[str, Any] = {
        "sampling_strategy": {1: n_real + n_new},
        "k_neighbors": min(_N_NEIGHBOURS, n_real - 1),
        "random_state": seed,
    }
    if len(categories) == rows.shape[1]:
        return SMOTEN(**how)
    return SMOTENC(categories, **how) if categories else SMOTE(**how)
