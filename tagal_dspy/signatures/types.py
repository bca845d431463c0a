"""What crosses the LM boundary: `Table`, and the typed parts of a critique."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Literal

import dspy
import pydantic


class Table(dspy.Type):  # type: ignore[misc]
    r"""Rows as an LM reads and writes them: plain text, whatever the adapter.

    The text is kept as it came. Which format it is in, which line is a header and which row is valid is for the codec
    and the row filter to say, so that nothing an LM wrote is lost before it can be rejected with a reason.

    >>> Table.from_cells(["name", "age"], [["Ada, Lady", "36"]]).text
    'name,age\n"Ada, Lady",36\n'
    """

    model_config = pydantic.ConfigDict(frozen=True)

    text: str

    @classmethod
    def from_cells(cls, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
        """A table in CSV: a header, then the cells."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(cells)
        return cls(text=out.getvalue())

    def format(self) -> str:
        """The text that stands in the prompt."""
        return self.text.strip("\n")

    @pydantic.model_serializer()
    def serialize_model(self) -> str:
        """Plain text everywhere: in prompts, in histories, in saved demos."""
        return self.format()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _only_from_text(cls, value: Any) -> Any:
        # DSPy first tries what a JSON repair makes of the text. Refusing all but text makes it hand over the original.
        if isinstance(value, (str, cls)):
            return {"text": value if isinstance(value, str) else value.text}
        if isinstance(value, dict) and set(value) == {"text"} and isinstance(value["text"], str):
            return value
        raise ValueError(f"expected the text of a table, got {type(value).__name__}")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        # Without this, adapters would ask the LM for a JSON object.
        return {"type": "string"}

    def __str__(self) -> str:
        return self.text


class CritiquePoint(pydantic.BaseModel):
    """One thing that is wrong with generated rows."""

    model_config = pydantic.ConfigDict(frozen=True)

    column: str = pydantic.Field(default="", description="the column, or columns, that it is about")
    problem: str = pydantic.Field(description="what is wrong")
    evidence: str = pydantic.Field(default="", description="what in the rows shows it")
    recommendation: str = pydantic.Field(default="", description="what to do differently")


class Discrepancy(pydantic.BaseModel):
    """One measured difference between generated rows and real ones, in words and numbers."""

    model_config = pydantic.ConfigDict(frozen=True)

    kind: Literal["share", "level", "stuck", "missing", "pair", "target", "duplicates", "collisions", "rejects"]
    columns: tuple[str, ...]
    text: str = pydantic.Field(description="what differs, with the numbers")
    surprise: float = pydantic.Field(description="-log10 of the chance to see this in as many real rows")
    value: str | None = pydantic.Field(default=None, description="the category or value concerned")
    excess: float = pydantic.Field(default=0.0, description="share in the generated rows minus share in the real ones")
