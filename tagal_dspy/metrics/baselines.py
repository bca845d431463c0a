"""Tables to stand beside ours: what real rows, simple tricks and SDV's synthesizers give at the same size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import SettingsError
from tagal_dspy.few_shot import StratifiedSampler
from tagal_dspy.metrics.peers import OVERDRAW, cart, real_curated, with_checks
from tagal_dspy.metrics.smote import smote
from tagal_dspy.metrics.tables import quiet, restore_numbers
from tagal_dspy.metrics.utility import some_rows
from tagal_dspy.schema import CellColumn, NumericalColumn
from tagal_dspy.schema.sdv import metadata_of
from tagal_dspy.task import TableTask

N_SHOTS = 20
"""Rows of each class in the prompt of the paper; `few_shots` repeats that many."""

_NOISE = 0.1
_MAX_LEVELS = 10


def baseline(name: str, *, task: TableTask, n_rows: int, seed: int = 0) -> pd.DataFrame:
    """A table of `n_rows` rows made from the training rows alone, with fresh ids.

    Args:
        name: `real` (training rows as they are), `real_curated` (those with plausible labels), `marginals` (every
            column on its own), `few_shots` (the rows of one prompt, repeated), `bootstrap_noise` (real rows, slightly
            changed), `smote` (SMOTE-NC of imbalanced-learn, extra `peers`), `cart` (each column from a tree grown on
            those before it), `gaussian_copula`, `ctgan` or `tvae` (SDV; the last two need torch). With `+checks`
            behind it, e.g. `cart+checks`, rows are new, have plausible labels and the real class shares, as those of
            our default settings; with `+selected` the best of three times as many such rows are kept.
        task: whose training rows to use.
        n_rows: how many rows to make.
        seed: equal seeds give equal tables.

    Raises:
        SettingsError: the name is unknown, or a package that it needs is not installed.

    >>> task = TableTask(pd.DataFrame({"x": range(50), "y": [0, 1] * 25}), target="y")
    >>> baseline("marginals", task=task, n_rows=7).shape
    (7, 2)
    """
    kind, _, more = name.partition("+")
    if kind not in BASELINES:
        raise SettingsError(f"baseline {kind!r} is unknown; use {', '.join(BASELINES)}")
    if more not in ("", "checks", "selected"):
        raise SettingsError(f"baseline {name!r} is unknown; use {kind}, {kind}+checks or {kind}+selected")
    if n_rows < 1:
        raise SettingsError(f"n_rows={n_rows}; a baseline needs at least 1")
    make = BASELINES[kind]
    if more:
        make = with_checks(make, overdraw=OVERDRAW if more == "selected" else 1.0)
    return task.schema.with_fresh_ids(make(task, n_rows, seed).reset_index(drop=True))


def marginals(frame: pd.DataFrame, n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Rows whose every column is drawn on its own from the values of the frame: right columns, no relations."""
    return pd.DataFrame(
        {name: frame[name].iloc[rng.integers(0, len(frame), n_rows)].reset_index(drop=True) for name in frame.columns}
    )


def _real(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    return some_rows(task.train, n_rows, np.random.default_rng(seed))


def _marginals(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    return marginals(task.train, n_rows, np.random.default_rng(seed))


def _few_shots(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shots = task.schema.to_frame(StratifiedSampler().sample(task, N_SHOTS, rng))
    return some_rows(shots, n_rows, rng)


def _bootstrap_noise(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    """Numbers move by a tenth of their standard deviation, one category in ten is drawn anew; the target stays."""
    rng = np.random.default_rng(seed)
    rows = task.train.iloc[rng.integers(0, len(task.train), n_rows)].reset_index(drop=True)
    anew = marginals(task.train, n_rows, rng)
    for column in task.schema.modelled:
        noise, changed = rng.normal(size=n_rows), rng.random(n_rows) < _NOISE
        if column.name == task.schema.target:
            continue
        if isinstance(column, NumericalColumn):
            numbers = column.numbers(rows[column.name])
            rows[column.name] = restore_numbers(column, numbers + noise * _NOISE * (column.std or 0.0))
        else:
            rows[column.name] = rows[column.name].where(~changed, anew[column.name])
    return rows


def _synthesizer(class_name: str) -> Callable[[TableTask, int, int], pd.DataFrame]:
    def sample(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
        from sdv import single_table

        table = task.schema.name
        with quiet():
            try:
                synthesizer = getattr(single_table, class_name)(_metadata(task))
            except ImportError as error:
                raise SettingsError(f"{class_name} needs torch, which is not installed; install it first") from error
            synthesizer.fit({table: _known_to_sdv(task)})
            # SDV has no public seed: without this, every table after a fit is the same one.
            synthesizer._set_random_state(seed)
            sampled: pd.DataFrame = synthesizer.sample(n_rows)[table]
        return pd.DataFrame({column.name: _from_sdv(column, sampled[column.name]) for column in task.schema.modelled})

    return sample


def _known_to_sdv(task: TableTask) -> pd.DataFrame:
    """The training rows without ids: numbers as floats, moments as such, all others as text."""
    columns = {column.name: _to_sdv(column, task.train[column.name]) for column in task.schema.modelled}
    return pd.DataFrame(columns)


def _to_sdv(column: CellColumn, values: pd.Series[Any]) -> pd.Series[Any]:
    if column.is_closed or column.is_free:
        return pd.Series(column.render(values), dtype=object)
    numbers = pd.Series(column.numbers(values))
    return numbers if column.is_number else pd.to_datetime(numbers, unit="s")


def _from_sdv(column: CellColumn, values: pd.Series[Any]) -> pd.Series[Any]:
    if column.is_closed or column.is_free:
        return column.restore([None if pd.isna(text) else str(text) for text in values])
    numbers = values if column.is_number else (values - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    return restore_numbers(column, numbers.to_numpy(dtype=float, na_value=np.nan))


def _metadata(task: TableTask) -> Any:
    """As SDV reads a table by itself, whole numbers with few values are categories: a fitted curve would miss them.

    No ranges: those of the schema hold validation rows, too, and SDV asks that the training rows reach them.
    """
    columns = {}
    for column in task.schema.modelled:
        few = (
            isinstance(column, NumericalColumn) and column.is_whole and task.train[column.name].nunique() <= _MAX_LEVELS
        )
        columns[column.name] = {"sdtype": "categorical" if few else column.sdtype()["sdtype"]}
        if column.is_free:
            columns[column.name]["pii"] = False
    return metadata_of(task.schema.name, columns)


BASELINES: dict[str, Callable[[TableTask, int, int], pd.DataFrame]] = {
    "real": _real,
    "real_curated": real_curated,
    "marginals": _marginals,
    "few_shots": _few_shots,
    "bootstrap_noise": _bootstrap_noise,
    "smote": smote,
    "cart": cart,
    "gaussian_copula": _synthesizer("GaussianCopulaSynthesizer"),
    "ctgan": _synthesizer("CTGANSynthesizer"),
    "tvae": _synthesizer("TVAESynthesizer"),
}
