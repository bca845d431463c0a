"""`TableSchema` to and from SDV 2 `Metadata`. Imports sdv (BUSL-1.1) where it is used, nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import CategoricalColumn, Column, DatetimeColumn, IdColumn, Kind, TextColumn
from tagal_dspy.schema.kinds import is_truth
from tagal_dspy.schema.table import ColumnOverride, SchemaOverrides, TableSchema

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
    """See `TableSchema.to_sdv`."""
    from sdv.metadata import Metadata

    columns = {column.name: _sdv_column(column) for column in schema.columns}
    return Metadata.load_from_dict(
        {"tables": {schema.name: {"columns": columns}}, "relationships": [], "METADATA_SPEC_VERSION": "V2"}
    )


def _sdv_column(column: Column) -> dict[str, Any]:
    if isinstance(column, IdColumn):
        return {"sdtype": "id"}
    nullable = {"range_is_nullable": column.nullable}
    if isinstance(column, TextColumn):
        return {"sdtype": "text", "pii": False, **nullable}
    if isinstance(column, CategoricalColumn):
        restored = column.restore(column.categories)
        values = [value.item() if hasattr(value, "item") else value for value in restored]
        return {"sdtype": "categorical", "range_values": values, **nullable}
    bounds = {"range_min": column.minimum, "range_max": column.maximum, **nullable}
    if isinstance(column, DatetimeColumn):
        return {"sdtype": "datetime", "datetime_format": column.format, **bounds}
    return {"sdtype": "numerical", "decimal_places": column.decimals, **bounds}


def from_metadata(frame: pd.DataFrame, metadata: Metadata, target: str | None) -> TableSchema:
    """See `TableSchema.from_sdv`."""
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
