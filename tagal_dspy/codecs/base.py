"""`RowCodec`: what every wire format offers, and the column order they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from tagal_dspy.gbnf import literal
from tagal_dspy.schema import ModelledColumn, Reject, Row, TableSchema
from tagal_dspy.settings import ColumnOrder


class Decoded(NamedTuple):
    """What an answer held: rows of the right width, their cells as written, and what could not be read as a row."""

    rows: tuple[Row, ...]
    rejects: tuple[Reject, ...]


class RowCodec(ABC):
    """A wire format for rows.

    Contract: `decode(encode(rows)).rows == rows` for canonical rows; `decode` takes any text and never raises;
    every text that `grammar` derives decodes without a reject into rows that fit the schema.

    Args:
        schema: of the rows.
        order: in which the columns stand on the wire. Rows are always in the schema's order.
    """

    name: ClassVar[str]

    def __init__(self, schema: TableSchema, order: ColumnOrder = "original") -> None:
        self.schema, self.order = schema, order
        self.wire_names = _ordered(schema, order)
        self._to_wire = [schema.names.index(name) for name in self.wire_names]
        self._from_wire = [self.wire_names.index(name) for name in schema.names]
        self._columns = {column.name: column for column in schema.modelled}
        self._rules: dict[str, str] = {}

    @abstractmethod
    def encode(self, rows: Sequence[Row]) -> str:
        """The rows as an LM sees them, ending in a line feed."""

    @abstractmethod
    def decode(self, text: str) -> Decoded:
        """The rows in an LM's answer, whatever text is around them; other lines are rejected with a reason."""

    def grammar(
        self, n_rows: int, narrowed: Mapping[str, ModelledColumn] | None = None, frame: tuple[str, str] = ("", "")
    ) -> str:
        """A GBNF grammar of exactly `n_rows` rows.

        Args:
            n_rows: at least 1.
            narrowed: by name, columns to use instead of the schema's, such as `column.among(("yes",))`.
            frame: what must stand before and after the rows.
        """
        columns = self._wire_columns(narrowed)
        cells = [f"cell-{i} ::= {self._known_rule(column)}" for i, column in enumerate(columns)]
        before, after = (f"{literal(text)} " if text else "" for text in frame)
        return (
            "\n".join([f"root ::= {before}row{{{n_rows}}} {after}", f"row ::= {self._row_rule(columns)}", *cells])
            + "\n"
        )

    @abstractmethod
    def _row_rule(self, columns: Sequence[ModelledColumn]) -> str:
        """GBNF of one row, referring to `cell-0`, `cell-1`, ..."""

    @abstractmethod
    def closed(self, name: str, texts: Sequence[str]) -> str:
        """One of some texts."""

    @abstractmethod
    def plain(self, name: str, rule: str, *, is_number: bool) -> str:
        """What a rule derives, which has no character that needs quotes."""

    @abstractmethod
    def free(self, name: str, max_length: int, multiline: bool) -> str:
        """Any text of up to so many characters."""

    @abstractmethod
    def _missing_cell(self, column: ModelledColumn) -> str:
        """How a missing value is written."""

    def _cell_rule(self, column: ModelledColumn) -> str:
        rule = column.rule(self)
        return f"{rule} | {literal(self._missing_cell(column))}" if column.nullable else rule

    def _known_rule(self, column: ModelledColumn) -> str:
        """The rule of a cell; that of a column of the schema is written once."""
        if column is not self._columns[column.name]:
            return self._cell_rule(column)
        if column.name not in self._rules:
            self._rules[column.name] = self._cell_rule(column)
        return self._rules[column.name]

    def _wire_columns(self, narrowed: Mapping[str, ModelledColumn] | None) -> list[ModelledColumn]:
        narrowed = narrowed or {}
        return [narrowed.get(name, self._columns[name]) for name in self.wire_names]

    def _wired(self, row: Row) -> list[str | None]:
        return [row[i] for i in self._to_wire]


def _ordered(schema: TableSchema, order: ColumnOrder) -> tuple[str, ...]:
    ranks = {
        "original": lambda column: 0,
        "categorical-first": lambda column: not (column.is_closed or column.is_free),
        "numerical-first": lambda column: column.is_closed or column.is_free,
        "target-first": lambda column: column.name != schema.target,
    }
    return tuple(column.name for column in sorted(schema.modelled, key=ranks[order]))
