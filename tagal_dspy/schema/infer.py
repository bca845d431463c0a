"""How a `TableSchema` is read off a frame. Vectorised: the cost is linear in rows with a small constant."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tagal_dspy.characters import as_unicode
from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import (
    CategoricalColumn,
    CellColumn,
    ColumnOverride,
    DatetimeColumn,
    IdColumn,
    Kind,
    NumericalColumn,
    TextColumn,
    category_text,
)
from tagal_dspy.schema.columns.number_formats import NumberFormat
from tagal_dspy.schema.columns.storage import is_textual, storage_of
from tagal_dspy.schema.kinds import Reading, is_numbers, is_truth, reading_of
from tagal_dspy.schema.table import Problem, SchemaOverrides, TableSchema

MAX_NAME = 200
"""Characters of a column's name, which every prompt and every row in JSON holds."""

MAX_NUMERIC_CLASSES = 20
"""A numeric target with at most this many whole values is a class label, one with more is regressed."""

_TARGET_KINDS: dict[Problem, Kind] = {"binary": "categorical", "multiclass": "categorical", "regression": "numerical"}
_NO_TARGET: tuple[Kind, ...] = ("datetime", "text", "id")


_KINDS: dict[Kind, type[CellColumn] | type[IdColumn]] = {
    "numerical": NumericalColumn,
    "categorical": CategoricalColumn,
    "boolean": CategoricalColumn,
    "datetime": DatetimeColumn,
    "text": TextColumn,
    "id": IdColumn,
}


def infer_schema(frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides) -> TableSchema:
    """Read kinds, ranges, categories, decimals and missing shares off a frame."""
    target = target if target is not None else overrides.target
    frame = frame.drop(columns=[name for name in overrides.drop if name in frame.columns])
    problems = table_problems(frame, target, overrides)
    if problems:
        raise DataError("; ".join(problems))
    readings = _readings(frame, overrides)
    problem = overrides.problem or _problem(frame, target, overrides, readings)
    columns = []
    for name, reading in readings.items():
        override = overrides.of(name)
        kind = _TARGET_KINDS.get(problem) if name == target and override.kind is None else None
        if kind is not None and kind != reading.kind:
            reading = Reading(kind, missing=override.missing)
        columns.append(column_of(frame[name], reading, override))
    if not any(isinstance(column, CellColumn) for column in columns):
        names = ", ".join(repr(column.name) for column in columns)
        raise DataError(f"the table has nothing but ids: {names}; override the kind of those that are not")
    return TableSchema(
        name=overrides.name or "table",
        notes=overrides.notes,
        n_rows=len(frame),
        target=target,
        problem=problem,
        columns=tuple(columns),  # type: ignore[arg-type]
    )


def column_of(values: pd.Series[Any], reading: Reading, override: ColumnOverride) -> CellColumn | IdColumn:
    """The column that the values make, read so, with what is known better."""
    kind = _KINDS[reading.kind]
    storage = storage_of(values)
    if not issubclass(kind, (CategoricalColumn, IdColumn)) and storage.startswith("category"):
        storage = storage.partition(":")[2]
    shared: dict[str, Any] = {
        "name": str(values.name),
        "kind": reading.kind,
        "dtype": storage,
        "description": override.description,
    }
    if issubclass(kind, CellColumn):
        shared["missing"] = reading.missing
        values = values.mask(values.isin(reading.missing)) if reading.missing else values
    shared["missing_share"] = float(values.isna().mean())
    return kind.model_validate(shared | kind.of(values, override.model_copy(update={"format": reading.format})))


def _readings(frame: pd.DataFrame, overrides: SchemaOverrides) -> dict[str, Reading]:
    """How each column is read. A decimal comma in one column tells that `1,234` in another is not a thousand."""
    decimal = overrides.decimal
    readings = {name: reading_of(frame[name], overrides.of(name), decimal) for name in frame.columns}
    forms = {name: each.format for name, each in readings.items() if each.kind == "numerical" and each.format}
    points = {NumberFormat(form).point for form in forms.values()} - {""}
    if decimal is None and points == {","}:
        for name, form in forms.items():
            if "#,##0" in form:
                readings[name] = reading_of(frame[name], overrides.of(name), ",")
    return readings


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
    found += [f"column name {name!r} is not Unicode text" for name in names if name != as_unicode(name)]
    if found:
        return found
    objects = [name for name in names if frame[name].dtype == object]
    nested = [
        name for name in objects if any(issubclass(kind, (list, dict, set)) for kind in set(map(type, frame[name])))
    ]
    if nested:
        return [f"column {name!r} holds lists or objects; make columns of what is in them" for name in nested]
    broken = [name for name in names if not _is_unicode(frame[name])]
    if broken:
        return [f"column {name!r} holds halves of surrogate pairs, which are not Unicode text" for name in broken]
    blank = [name for name in frame.columns if frame[name].isna().all()]
    found += [f"column {name!r} has no value at all: leave it out with `drop` or `--drop`" for name in blank]
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
    text = "".join(value for value in levels.unique() if isinstance(value, str))
    return text == as_unicode(text)


def _problem(
    frame: pd.DataFrame, target: str | None, overrides: SchemaOverrides, readings: dict[str, Reading]
) -> Problem:
    if target is None:
        return "none"
    values = frame[target].dropna()
    said, is_formatted = overrides.of(target).kind, readings[target].kind == "numerical"
    numeric = is_formatted or (is_numbers(values) and not is_truth(values))
    n_classes = values.nunique()
    if said == "numerical" or (said is None and numeric and n_classes > 2):
        numbers = column_of(frame[target], readings[target]._replace(kind="numerical"), overrides.of(target))
        if not numbers.is_whole or n_classes > MAX_NUMERIC_CLASSES:  # type: ignore[union-attr]
            return "regression"
    return "binary" if n_classes == 2 else "multiclass"
