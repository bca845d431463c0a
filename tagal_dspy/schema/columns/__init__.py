"""The column kinds, and the canonical text of a cell.

Text is the common ground of real and generated rows: two cells are equal exactly when their canonical texts are.
`render` makes it from real values, `canonical` from what an LM wrote, `restore` turns it back into real values. Ids are
no cells: an LM never sees one, and `IdColumn.fresh` writes them.
"""

from __future__ import annotations

from typing import Annotated, Union

from pydantic import Field

from tagal_dspy.schema.columns.base import (
    REJECT_REASONS,
    CellCheck,
    CellColumn,
    CellError,
    ColumnOverride,
    Kind,
    Reject,
    RejectReason,
    Row,
    Spelling,
)
from tagal_dspy.schema.columns.categorical import CategoricalColumn, category_text
from tagal_dspy.schema.columns.datetimes import DatetimeColumn
from tagal_dspy.schema.columns.ids import IdColumn
from tagal_dspy.schema.columns.numerical import NumericalColumn
from tagal_dspy.schema.columns.storage import is_number
from tagal_dspy.schema.columns.texts import TextColumn

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
    "Reject",
    "RejectReason",
    "Row",
    "Spelling",
    "TextColumn",
    "category_text",
    "is_number",
]

ModelledColumn = Union[NumericalColumn, CategoricalColumn, DatetimeColumn, TextColumn]
"""A column that a `Row` has cells for."""

Column = Annotated[Union[ModelledColumn, IdColumn], Field(discriminator="kind")]
