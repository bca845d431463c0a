"""What a table's columns hold: `TableSchema` and the column kinds."""

from tagal_dspy.schema.columns import (
    REJECT_REASONS,
    CategoricalColumn,
    CellCheck,
    CellColumn,
    CellError,
    Column,
    ColumnOverride,
    DatetimeColumn,
    IdColumn,
    Kind,
    ModelledColumn,
    NumericalColumn,
    Reject,
    RejectReason,
    Row,
    Spelling,
    TextColumn,
    is_number,
)
from tagal_dspy.schema.reading import read_cells
from tagal_dspy.schema.table import Problem, SchemaOverrides, TableSchema

__all__ = [
    "REJECT_REASONS",
    "CategoricalColumn",
    "CellCheck",
    "CellColumn",
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
    "Spelling",
    "TableSchema",
    "TextColumn",
    "is_number",
    "read_cells",
]
