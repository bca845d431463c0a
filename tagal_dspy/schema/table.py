"""`TableSchema`: the columns of a table, its target, and the way from text rows to a frame and back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import date, time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import CategoricalColumn, Column, DatetimeColumn, IdColumn, Kind, ModelledColumn, Row
from tagal_dspy.settings import read_toml, validated

if TYPE_CHECKING:
    from sdv.metadata import Metadata

Problem = Literal["binary", "multiclass", "regression", "none"]


def _bound(value: object) -> float | str:
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        return value
    raise ValueError("expected a finite number, or a date or time")


Bound = Annotated[Union[float, str], PlainValidator(_bound)]
"""A number; for dates and times ISO text, or the date that TOML has."""


class ColumnOverride(BaseModel):
    """What a user knows better about a column than its values show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind | None = None
    description: str = ""
    minimum: Bound | None = None
    maximum: Bound | None = None
    format: str | None = None
    """Of dates and times, as `strftime` has it: `%d/%m/%Y`."""


class SchemaOverrides(BaseModel):
    """What a user knows better about a table; read from a TOML file or given by keyword.

    >>> SchemaOverrides(columns={"zip": {"kind": "categorical"}}).columns["zip"].kind
    'categorical'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    target: str | None = None
    problem: Problem | None = None
    notes: str = ""
    columns: dict[str, ColumnOverride] = Field(default_factory=dict)

    @classmethod
    def from_file(cls, path: Path) -> SchemaOverrides:
        """Read a TOML file with the fields above; raises `SettingsError`."""
        return validated(cls, read_toml(path))

    def settled(self, schema: TableSchema) -> SchemaOverrides:
        """The same, with kinds, formats and problem as `schema` has them, for a part of its table."""
        columns = {}
        for column in schema.columns:
            known = {"kind": column.kind, "format": column.format if isinstance(column, DatetimeColumn) else None}
            columns[column.name] = self.columns.get(column.name, ColumnOverride()).model_copy(update=known)
        return self.model_copy(update={"columns": columns, "problem": schema.problem})


class TableSchema(BaseModel):
    """Names, kinds and statistics of a table's columns, in the table's own order.

    >>> frame = pd.DataFrame({"age": [31, 54, 40], "smokes": ["yes", "no", "no"]})
    >>> schema = TableSchema.infer(frame, target="smokes")
    >>> schema.problem, [column.kind for column in schema.columns]
    ('binary', ['numerical', 'categorical'])
    >>> TableSchema.from_dict(schema.to_dict()) == schema
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "table"
    notes: str = ""
    n_rows: int = Field(ge=0)
    target: str | None = None
    problem: Problem = "none"
    columns: tuple[Column, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique_and_hold_the_target(self) -> TableSchema:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"column names are not unique: {names}")
        if not self.names:
            raise ValueError(f"all columns are ids: {names}")
        if self.target is not None and self.target not in self.names:
            raise ValueError(f"target {self.target!r} is not one of the columns {list(self.names)}")
        return self

    @classmethod
    def infer(
        cls, frame: pd.DataFrame, target: str | None = None, overrides: SchemaOverrides | None = None
    ) -> TableSchema:
        """Read kinds, ranges, categories, decimals and missing shares off a frame.

        Args:
            frame: the real rows, one column per feature.
            target: the column to predict; `overrides.target` where None.
            overrides: what to believe instead of the values.

        Raises:
            DataError: the frame is empty, a column is all missing or its name not unique, or the target is unfit;
                all problems at once.
        """
        from tagal_dspy.schema.infer import infer_schema

        return infer_schema(frame, target, overrides or SchemaOverrides())

    @cached_property
    def modelled(self) -> tuple[ModelledColumn, ...]:
        """The columns that a `Row` has cells for, in the table's order: all but the ids."""
        return tuple(column for column in self.columns if not isinstance(column, IdColumn))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that a `Row` has cells for."""
        return tuple(column.name for column in self.modelled)

    def __getitem__(self, name: str) -> Column:
        """The column of that name; raises `DataError`."""
        for column in self.columns:
            if column.name == name:
                return column
        raise DataError(f"no column {name!r}; the table has {', '.join(repr(column.name) for column in self.columns)}")

    @property
    def classes(self) -> tuple[str, ...]:
        """The target's classes as text, without those that no row has; empty without a target or for regression."""
        if self.target is None or self.problem == "regression":
            return ()
        column = self[self.target]
        return column.offered if isinstance(column, CategoricalColumn) else ()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything in the schema, 16 hexadecimal digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def to_rows(self, frame: pd.DataFrame) -> list[Row]:
        """Canonical text of every row of a frame that holds the schema's columns; ids are left out."""
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise DataError(f"the table lacks the columns {missing}; expected {list(self.names)}")
        rendered = [column.render(frame[column.name]) for column in self.modelled]
        return list(zip(*rendered, strict=True))

    def to_frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """A frame with the original columns and dtypes, fresh ids and a fresh index; equal rows give equal ids."""
        cells = dict(zip(self.names, zip(*rows, strict=True), strict=True)) if rows else {}
        restored = {column.name: column.restore(cells.get(column.name, ())) for column in self.modelled}
        return self.with_fresh_ids(pd.DataFrame(restored))

    def with_fresh_ids(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame with ids that no real row has."""
        fresh = {
            column.name: column.fresh(len(frame), self.fingerprint).set_axis(frame.index)
            for column in self.columns
            if isinstance(column, IdColumn)
        }
        return frame.assign(**fresh)[[column.name for column in self.columns]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TableSchema:
        """The schema that `to_dict` wrote; raises `SettingsError`."""
        return validated(cls, dict(values))

    def to_sdv(self) -> Metadata:
        """SDV 2 `Metadata` with one table of this name."""
        from tagal_dspy.schema.sdv import to_metadata

        return to_metadata(self)

    @classmethod
    def from_sdv(cls, frame: pd.DataFrame, metadata: Metadata, target: str | None = None) -> TableSchema:
        """Infer with the kinds, and the ranges where given, that SDV 2 `Metadata` states."""
        from tagal_dspy.schema.sdv import from_metadata

        return from_metadata(frame, metadata, target)
