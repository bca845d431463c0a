"""`TableSchema`: the columns of a table, its target, and the way from text rows to a frame and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import CellColumn, Column, ColumnOverride, IdColumn, ModelledColumn, Row
from tagal_dspy.settings import read_toml, validated

if TYPE_CHECKING:
    from sdv.metadata import Metadata

Problem = Literal["binary", "multiclass", "regression", "none"]


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
    drop: tuple[str, ...] = ()
    """Columns to leave out."""
    missing: tuple[str, ...] = ()
    """What stands for a missing value in columns of texts that say nothing else."""
    separator: str | None = None
    """Between the cells of a file; found out where None."""
    encoding: str | None = None
    """Of a file, likewise."""
    decimal: Literal[".", ","] | None = None
    """The decimal sign of numbers in a file, likewise."""

    @classmethod
    def from_file(cls, path: Path) -> SchemaOverrides:
        """Read a TOML file with the fields above; raises `SettingsError`."""
        return validated(cls, read_toml(path))

    def of(self, name: str) -> ColumnOverride:
        """What is known of one column."""
        override = self.columns.get(name, ColumnOverride())
        return override if override.missing else override.model_copy(update={"missing": self.missing})

    def settled(self, schema: TableSchema) -> SchemaOverrides:
        """The same, with kinds, formats and problem as `schema` has them, for a part of its table."""
        columns = {}
        for column in schema.columns:
            known = {name: getattr(column, name, None) for name in ("kind", "format")}
            known["missing"] = getattr(column, "missing", ())
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
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def modelled(self) -> tuple[ModelledColumn, ...]:
        """The columns that a `Row` has cells for, in the table's order: all but the ids."""
        return tuple(column for column in self.columns if isinstance(column, CellColumn))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that a `Row` has cells for."""
        return tuple(column.name for column in self.modelled)

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names of all columns, ids included."""
        return tuple(self._by_name)

    def __getitem__(self, name: str) -> Column:
        """The column of that name; raises `DataError`."""
        if name in self._by_name:
            return self._by_name[name]
        raise DataError(f"no column {name!r}; the table has {', '.join(repr(column.name) for column in self.columns)}")

    @property
    def target_column(self) -> ModelledColumn | None:
        """The column to predict; None without a target."""
        return self.modelled[self.names.index(self.target)] if self.target is not None else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The target's classes as text, without those that no row has; empty without a target or for regression."""
        if self.target is None or self.problem == "regression":
            return ()
        return self.target_column.offered if self.target_column is not None else ()

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

    def to_cells(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns of a frame as a file has them, in the form of the real table; other columns stay."""
        cells = {column.name: column.cells(frame[column.name]) for column in self.modelled if column.name in frame}
        return frame.assign(**cells)

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
