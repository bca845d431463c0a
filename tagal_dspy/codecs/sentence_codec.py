"""Rows as sentences, one a line: `age is 39, job is clerk`. After GReaT (Borisov et al., ICLR 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from tagal_dspy.codecs.base import Decoded, RowCodec, rejected, unfenced
from tagal_dspy.codecs.grammar import literal, number, one_of
from tagal_dspy.codecs.records import one_cell, records
from tagal_dspy.schema import CategoricalColumn, Column, NumericalColumn, Reject, Row, TableSchema
from tagal_dspy.settings import ColumnOrder


class SentenceCodec(RowCodec):
    """`name is value` for each column, read in any order; a part with a comma or a quote is quoted as in CSV.

    >>> import pandas as pd
    >>> schema = TableSchema.infer(pd.DataFrame({"job": ["clerk, senior", "cook", "cook"], "age": [41, 30, 25]}))
    >>> print(SentenceCodec(schema).encode([("clerk, senior", "41")]), end="")
    "job is clerk, senior", age is 41
    """

    name = "sentence"

    def __init__(self, schema: TableSchema, order: ColumnOrder = "original") -> None:
        super().__init__(schema, order)
        self._missing = _missing_word(schema)
        starts = ((f"{name} is ".lstrip(), name) for name in schema.names)
        self._starts = sorted(starts, key=lambda start: -len(start[0]))

    def encode(self, rows: Sequence[Row]) -> str:
        """See `RowCodec.encode`."""
        return "".join(self._sentence(row) + "\n" for row in rows)

    def _sentence(self, row: Row) -> str:
        pairs = zip(self.wire_names, self._wired(row), strict=True)
        return ", ".join(_part(name, self._missing if cell is None else cell) for name, cell in pairs)

    def decode(self, text: str) -> Decoded:
        """See `RowCodec.decode`."""
        rows: list[Row] = []
        rejects: list[Reject] = []
        for raw, parts in records(unfenced(text), spaced=True):
            found = dict(filter(None, map(self._value, parts or [])))
            if not found:
                rejects.append(rejected("unparsable", raw, "no `name is value`"))
            elif len(parts or []) != len(self.wire_names) or len(found) != len(self.wire_names):
                absent = [name for name in self.wire_names if name not in found]
                rejects.append(rejected("wrong_width", raw, f"{len(parts or [])} parts; without {absent}"))
            else:
                rows.append(tuple(found[name] for name in self.schema.names))
        return Decoded(tuple(rows), tuple(rejects))

    def _value(self, part: str) -> tuple[str, str | None] | None:
        part = part.lstrip()
        for start, name in self._starts:
            if part.startswith(start):
                value = part[len(start) :]
                return name, None if value == self._missing else value
        return None

    def _row_rule(self, columns: Sequence[Column]) -> str:
        return ' ", " '.join(f"cell-{i}" for i in range(len(columns))) + ' "\\n"'

    def _cell_rule(self, column: Column) -> str:
        if isinstance(column, CategoricalColumn):
            rule = one_of(_part(column.name, category) for category in column.offered)
        else:
            rule = _number_rule(column)
        return f"{rule} | {literal(_part(column.name, self._missing))}" if column.nullable else rule


def _number_rule(column: NumericalColumn) -> str:
    before, after = _part(column.name, "0").rsplit("0", 1)
    tail = f" {literal(after)}" if after else ""
    return f"{literal(before)} ({number(column)}){tail}"


def _part(name: str, value: str) -> str:
    return one_cell(f"{name} is {value}")


def _missing_word(schema: TableSchema) -> str:
    taken = {each for column in schema.columns if isinstance(column, CategoricalColumn) for each in column.categories}
    word = "missing"
    while word in taken:
        word = f"({word})"
    return word
