"""`TableSchema` to and from SDV 2 `Metadata`. Imports sdv (BUSL-1.1) where it is used, nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import ColumnOverride, Kind
from tagal_dspy.schema.kinds import is_truth
from tagal_dspy.schema.table import SchemaOverrides, TableSchema

if TYPE_CHECKING:
    from sdv.metadata import Metadata

_KINDS: dict[str, Kind | None] = {
    "numerical": "numerical",
    "categorical": "categorical",
    "ordinal": "categorical",
    "boolean": "boolean",
    "datetime": "datetime",
    "text": "text",  # a Faker type, as free text has no sdtype of its own
    "id": "id",
    "unknown": None,  # for the values to say
}


def to_metadata(schema: TableSchema) -> Metadata:
    """SDV 2 `Metadata` with one table of this name."""
    return metadata_of(schema.name, {column.name: column.sdtype() for column in schema.columns})


def metadata_of(table: str, columns: dict[str, dict[str, Any]]) -> Metadata:
    """Metadata of one table with columns as SDV describes them."""
    from sdv.metadata import Metadata

    return Metadata.load_from_dict(
        {"tables": {table: {"columns": columns}}, "relationships": [], "METADATA_SPEC_VERSION": "V2"}
    )


def from_metadata(frame: pd.DataFrame, metadata: Metadata, target: str | None) -> TableSchema:
    """Infer with the kinds, and the ranges where given, that SDV 2 `Metadata` states."""
    tables = metadata.to_dict()["tables"]
    if len(tables) != 1:
        raise DataError(f"the metadata describes {len(tables)} tables; exactly one is needed")
    name, table = next(iter(tables.items()))
    truths = {column for column in frame if column != target and is_truth(frame[column])}
    columns = {column: _override(column, spec, column in truths) for column, spec in table["columns"].items()}
    return TableSchema.infer(frame, target, SchemaOverrides(name=name, columns=columns))


def _override(name: str, spec: dict[str, Any], is_truth: bool) -> ColumnOverride:
    sdtype = spec["sdtype"]
    if sdtype not in _KINDS:
        raise DataError(f"column {name!r} has the sdtype {sdtype!r}; supported are {', '.join(_KINDS)}")
    kind = _KINDS[sdtype]
    if kind == "categorical" and is_truth:
        kind = "boolean"  # SDV calls truth values categorical once their values are listed
    known: dict[str, Any] = {
        "minimum": spec.get("range_min"),
        "maximum": spec.get("range_max"),
        "format": spec.get("datetime_format"),
    }
    return ColumnOverride(kind=kind, **known)
