"""How a `TableSchema` is read off a frame. Vectorised: the cost is linear in rows with a small constant."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tagal_dspy.characters import as_unicode
from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import IdColumn, Kind, category_text
from tagal_dspy.schema.columns.ids import is_textual
from tagal_dspy.schema.kinds import is_truth, kind_of
from tagal_dspy.schema.statistics import column_of
from tagal_dspy.schema.table import ColumnOverride, Problem, SchemaOverrides, TableSchema

MAX_NAME = 200
"""Characters of a column's name, which every prompt and every row in JSON holds."""

MAX_NUMERIC_CLASSES = 20
"""A numeric target with at most this many whole values is a class label, one with more is regressed."""

_TARGET_KINDS: dict[Problem, Kind] = {"binary": "categorical", "multiclass": "categorical", "regression": "numerical"}
_NO_TARGET: tuple[Kind, ...] = ("datetime", "text", "id")


def infer_schema(frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides) -> TableSchema:
    """See `TableSchema.infer`."""
    target = target if target is not None else overrides.target
    problems = table_problems(frame, target, overrides)
    if problems:
        raise DataError("; ".join(problems))
    problem = overrides.problem or _problem(frame, target, overrides)
    columns = []
    for name in frame.columns:
        override = overrides.columns.get(name, ColumnOverride())
        kind = override.kind or (name == target and _TARGET_KINDS.get(problem)) or kind_of(frame[name], override.format)
        columns.append(column_of(frame[name], kind, override))
    if all(isinstance(column, IdColumn) for column in columns):
        names = ", ".join(repr(column.name) for column in columns)
        raise DataError(f"the table has nothing but ids: {names}; override the kind of those that are none")
    return TableSchema(
        name=overrides.name or "table",
        notes=overrides.notes,
        n_rows=len(frame),
        target=target,
        problem=problem,
        columns=tuple(columns),
    )


def table_problems(frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides) -> list[str]:
    """Why no schema can be read off a frame, a line each; empty where one can."""
    if frame.shape[1] == 0 or len(frame) == 0:
        return ["the table is empty; at least one row and one column are needed"]
    names = [str(name) for name in frame.columns]
    found = [
        f"column name {name!r} occurs {names.count(name)} times"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    found += [f"column name {name!r} is not text" for name in frame.columns if not isinstance(name, str)]
    found += [
        f"column name {name[:40]!r}... is longer than {MAX_NAME} characters" for name in names if len(name) > MAX_NAME
    ]
    found += [f"column name {name!r} is no Unicode text" for name in names if name != as_unicode(name)]
    if found:
        return found
    broken = [name for name in names if not _is_unicode(frame[name])]
    if broken:
        return [f"column {name!r} holds halves of surrogate pairs, which are no Unicode text" for name in broken]
    objects = [name for name in names if frame[name].dtype == object]
    nested = [
        name for name in objects if any(issubclass(kind, (list, dict, set)) for kind in set(map(type, frame[name])))
    ]
    if nested:
        return [f"column {name!r} holds lists or objects; make columns of what is in them" for name in nested]
    found += [f"column {name!r} has no value at all" for name in frame.columns if frame[name].isna().all()]
    found += [f"the overrides name no column of the table: {name!r}" for name in overrides.columns if name not in names]
    if target is not None and target not in names:
        found.append(f"target {target!r} is not a column; the table has {', '.join(map(repr, names))}")
    elif target is not None and (kind := overrides.columns.get(target, ColumnOverride()).kind) in _NO_TARGET:
        found.append(f"target {target!r} is said to be of the kind {kind!r}; a target holds classes or numbers")
    elif target is not None and len(frame[target].dropna().unique()) == 1:
        label = category_text(frame[target].dropna().iloc[0])
        found.append(f"target {target!r} has one class only, {label!r}; at least two are needed")
    return found


def _is_unicode(values: pd.Series[Any]) -> bool:
    """Whether all texts of a column can be written to a file or sent to a server."""
    levels = values.cat.categories.to_series() if isinstance(values.dtype, pd.CategoricalDtype) else values
    if not is_textual(levels):
        return True
    text = "".join(value for value in levels if isinstance(value, str))
    return text == as_unicode(text)


def _problem(frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides) -> Problem:
    if target is None:
        return "none"
    values = frame[target].dropna()
    numeric = pd.api.types.is_numeric_dtype(values.dtype) and not is_truth(values)
    said = overrides.columns.get(target, ColumnOverride()).kind
    n_classes = values.nunique()
    if said == "numerical" or (said is None and numeric and n_classes > 2):
        whole = bool((pd.to_numeric(values, errors="coerce") % 1 == 0).all())
        if not whole or n_classes > MAX_NUMERIC_CLASSES:
            return "regression"
    return "binary" if n_classes == 2 else "multiclass"
