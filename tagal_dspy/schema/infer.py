"""How a `TableSchema` is read off a frame. Vectorised: the cost is linear in rows with a small constant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import CategoricalColumn, Kind, NumericalColumn, category_text
from tagal_dspy.schema.table import ColumnOverride, Problem, SchemaOverrides, TableSchema

MAX_NUMERIC_CLASSES = 20
"""A numeric target with at most this many whole values is a class label, one with more is regressed."""

MAX_DECIMALS = 6
"""Longer fractions are cut to four significant digits of the column's spread."""


_TARGET_KINDS: dict[Problem, Kind] = {"binary": "categorical", "multiclass": "categorical", "regression": "numerical"}


def infer_schema(frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides) -> TableSchema:
    """See `TableSchema.infer`."""
    target = target if target is not None else overrides.target
    problems = _problems(frame, target, overrides)
    if problems:
        raise DataError("; ".join(problems))
    problem = overrides.problem or _problem(frame, target, overrides)
    columns = []
    for name in frame.columns:
        override = overrides.columns.get(name, ColumnOverride())
        kind = override.kind or (name == target and _TARGET_KINDS.get(problem)) or _kind(frame[name])
        columns.append(_column(frame[name], kind, override))
    return TableSchema(
        name=overrides.name or "table",
        notes=overrides.notes,
        n_rows=len(frame),
        target=target,
        problem=problem,
        columns=tuple(columns),
    )


def _problems(frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides) -> list[str]:
    if frame.shape[1] == 0 or len(frame) == 0:
        return ["the table is empty; at least one row and one column are needed"]
    names = [str(name) for name in frame.columns]
    found = [
        f"column name {name!r} occurs {names.count(name)} times"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    found += [f"column name {name!r} is not text" for name in frame.columns if not isinstance(name, str)]
    if found:
        return found
    objects = [name for name in names if frame[name].dtype == object]
    nested = [name for name in objects if frame[name].map(lambda value: isinstance(value, (list, dict, set))).any()]
    if nested:
        return [f"column {name!r} holds lists or objects; make columns of what is in them" for name in nested]
    found += [f"column {name!r} has no value at all" for name in frame.columns if frame[name].isna().all()]
    found += [f"the overrides name no column of the table: {name!r}" for name in overrides.columns if name not in names]
    if target is not None and target not in names:
        found.append(f"target {target!r} is not a column; the table has {', '.join(map(repr, names))}")
    elif target is not None and len(frame[target].dropna().unique()) == 1:
        label = category_text(frame[target].dropna().iloc[0])
        found.append(f"target {target!r} has one class only, {label!r}; at least two are needed")
    return found


def _problem(frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides) -> Problem:
    if target is None:
        return "none"
    values = frame[target].dropna()
    kind = overrides.columns.get(target, ColumnOverride()).kind or _kind(values)
    n_classes = values.nunique()
    if kind == "numerical":
        whole = bool((pd.to_numeric(values, errors="coerce") % 1 == 0).all())
        if not whole or n_classes > MAX_NUMERIC_CLASSES:
            return "regression"
    return "binary" if n_classes == 2 else "multiclass"


def _kind(values: pd.Series[Any]) -> Kind:
    if is_truth(values):
        return "boolean"
    return "numerical" if pd.api.types.is_numeric_dtype(values.dtype) and values.nunique() > 2 else "categorical"


def is_truth(values: pd.Series[Any]) -> bool:
    """Whether all values are true or false, whatever the dtype."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return True
    known: Any = values.dropna().unique() if values.dtype == object else ()
    return len(known) > 0 and all(isinstance(value, bool) for value in known)


def _column(values: pd.Series[Any], kind: Kind, override: ColumnOverride) -> NumericalColumn | CategoricalColumn:
    missing_share = float(values.isna().mean())
    name = str(values.name)
    if kind == "numerical":
        return _numerical(name, values, missing_share, override)
    present = values.dropna()
    counts = present.map(category_text).value_counts()
    ordered = (
        list(present.cat.categories.map(category_text))
        if isinstance(values.dtype, pd.CategoricalDtype)
        else sorted(counts.index)
    )
    return CategoricalColumn(
        name=name,
        kind=kind,
        dtype=_dtype(values),
        description=override.description,
        missing_share=missing_share,
        categories=tuple(ordered),
        shares=tuple(float(counts.get(category, 0)) / len(present) for category in ordered),
    )


def _numerical(name: str, values: pd.Series[Any], missing_share: float, override: ColumnOverride) -> NumericalColumn:
    try:
        numbers = pd.to_numeric(values).dropna().to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {name!r} is said to be numerical, but holds other values: {error}") from error
    if not np.isfinite(numbers).all():
        raise DataError(f"column {name!r} holds infinite values; replace or drop them")
    decimals = _decimals(numbers)
    minimum = _at_least(float(numbers.min()) if override.minimum is None else override.minimum, decimals)
    maximum = -_at_least(-float(numbers.max()) if override.maximum is None else -override.maximum, decimals)
    if minimum > maximum and (override.minimum, override.maximum) != (None, None):
        raise DataError(f"column {name!r} cannot lie between {minimum} and {maximum}; override both bounds")
    return NumericalColumn(
        name=name,
        dtype=_dtype(values).rpartition(":")[2],
        description=override.description,
        missing_share=missing_share,
        decimals=decimals,
        minimum=minimum,
        maximum=max(minimum, maximum),
        mean=float(numbers.mean()),
        std=float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        median=float(np.median(numbers)),
    )


def _at_least(bound: float, decimals: int) -> float:
    """The smallest number of so many decimals not below `bound`: rounded, a minimum must stay in the observed range."""
    steps = 10**decimals
    nearest = round(bound * steps)
    is_one = math.isclose(nearest / steps, bound, rel_tol=1e-12, abs_tol=1e-6 / steps)
    return float((nearest if is_one else math.ceil(bound * steps)) / steps)


def _decimals(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    unique = np.unique(numbers)
    spread = float(unique.std()) or abs(float(unique[0])) or 1.0
    noise = 1e-7 * np.abs(unique) + 1e-9 * spread  # what single precision and arithmetic leave behind
    for decimals in range(MAX_DECIMALS + 1):
        off = np.abs(unique - np.round(unique, decimals))
        if (off <= np.minimum(noise, 10.0 ** -(decimals + 3))).all():
            return decimals
    return int(np.clip(3 - math.floor(math.log10(spread)), 1, 15))


def _dtype(values: pd.Series[Any]) -> str:
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return str(values.dtype)
    levels = values.dtype.categories.dtype
    kind = "category[ordered]" if values.dtype.ordered else "category"
    return f"{kind}:{'object' if isinstance(levels, pd.IntervalDtype) else levels}"  # text is not cast to intervals
