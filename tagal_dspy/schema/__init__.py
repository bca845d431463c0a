"""What a table's columns hold: `TableSchema` and the column kinds."""

from tagal_dspy.schema.columns import (
    REJECT_REASONS,
    CategoricalColumn,
    CellError,
    Column,
    DatetimeColumn,
    IdColumn,
    Kind,
    ModelledColumn,
    NumericalColumn,
    Reject,
    RejectReason,
    Row,
    TextColumn,
    is_number,
)
from tagal_dspy.schema.reading import read_cells
from tagal_dspy.schema.table import ColumnOverride, Problem, SchemaOverrides, TableSchema

__all__ = [
    "REJECT_REASONS",
    "CategoricalColumn",
    "CellError",
    "Column",
    "ColumnOverride",
    "DatetimeColumn",
    "IdColumn",
    "Kind",
    "ModelledColumn",
    "NumericalColumn",
    "Problem",
    "Reject",
    "RejectReason",
    "Row",
    "SchemaOverrides",
    "TableSchema",
    "TextColumn",
    "is_number",
    "read_cells",
]
