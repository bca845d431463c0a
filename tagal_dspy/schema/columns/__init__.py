"""The column kinds, and the canonical text of a cell.

Text is the common ground of real and generated rows: two cells are equal exactly when their canonical texts are.
`render` makes it from real values, `canonical` from what an LM wrote, `restore` turns it back into real values.
"""

from __future__ import annotations

from typing import Annotated, Union

from pydantic import Field

from tagal_dspy.schema.columns.base import REJECT_REASONS, CellError, Kind, Reject, RejectReason, Row
from tagal_dspy.schema.columns.categorical import CategoricalColumn, category_text
from tagal_dspy.schema.columns.numerical import NumericalColumn

__all__ = [
    "REJECT_REASONS",
    "CategoricalColumn",
    "CellError",
    "Column",
    "Kind",
    "NumericalColumn",
    "Reject",
    "RejectReason",
    "Row",
    "category_text",
]

Column = Annotated[Union[NumericalColumn, CategoricalColumn], Field(discriminator="kind")]
