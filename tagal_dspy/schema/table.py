"""`TableSchema`: the columns of a table, its target, and the way from text rows to a frame and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import CategoricalColumn, Column, Kind, NumericalColumn, Row
from tagal_dspy.settings import read_toml, validated

if TYPE_CHECKING:
    from sdv.metadata import Metadata

Problem = Literal["binary", "multiclass", "regression", "none"]


class ColumnOverride(BaseModel):
    """What a user knows better about a column than its values show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind | None = None
    description: str = ""
    minimum: FiniteFloat | None = None
    maximum: FiniteFloat | None = None


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
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"column names are not unique: {list(self.names)}")
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
    def names(self) -> tuple[str, ...]:
        """Column names in the table's order."""
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> NumericalColumn | CategoricalColumn:
        """The column of that name; raises `DataError`."""
        for column in self.columns:
            if column.name == name:
                return column
        raise DataError(f"no column {name!r}; the table has {', '.join(map(repr, self.names))}")

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
        """Canonical text of every row of a frame that holds the schema's columns."""
        missing = [name for name in self.names if name not in frame.columns]
        if missing:
            raise DataError(f"the table lacks the columns {missing}; expected {list(self.names)}")
        rendered = [column.render(frame[column.name]) for column in self.columns]
        return list(zip(*rendered, strict=True))

    def to_frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """A frame with the original columns, dtypes and a fresh index."""
        cells = list(zip(*rows, strict=True)) if rows else [()] * len(self.columns)
        return pd.DataFrame(
            {column.name: column.restore(texts) for column, texts in zip(self.columns, cells, strict=True)}
        )

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
