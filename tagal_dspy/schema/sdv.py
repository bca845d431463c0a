"""`TableSchema` to and from SDV 2 `Metadata`. Imports sdv (BUSL-1.1) where it is used, nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import Kind, NumericalColumn
from tagal_dspy.schema.infer import is_truth
from tagal_dspy.schema.table import ColumnOverride, SchemaOverrides, TableSchema

if TYPE_CHECKING:
    from sdv.metadata import Metadata

_KINDS: dict[str, Kind] = {
    "numerical": "numerical",
    "categorical": "categorical",
    "ordinal": "categorical",
    "boolean": "boolean",
}


def to_metadata(schema: TableSchema) -> Metadata:
    """See `TableSchema.to_sdv`."""
    from sdv.metadata import Metadata

    columns = {column.name: _sdv_column(column) for column in schema.columns}
    return Metadata.load_from_dict(
        {"tables": {schema.name: {"columns": columns}}, "relationships": [], "METADATA_SPEC_VERSION": "V2"}
    )


def _sdv_column(column: Any) -> dict[str, Any]:
    if isinstance(column, NumericalColumn):
        return {
            "sdtype": "numerical",
            "range_is_nullable": column.nullable,
            "range_min": column.minimum,
            "range_max": column.maximum,
            "decimal_places": column.decimals,
        }
    return {
        "sdtype": "categorical",
        "range_is_nullable": column.nullable,
        "range_values": [
            value.item() if hasattr(value, "item") else value for value in column.restore(column.categories)
        ],
    }


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
    if kind != "numerical":
        return ColumnOverride(kind=kind)
    return ColumnOverride(kind=kind, minimum=spec.get("range_min"), maximum=spec.get("range_max"))
