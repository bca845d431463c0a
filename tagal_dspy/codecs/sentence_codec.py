"""Rows as sentences, one a line: `age is 39, job is clerk`. After GReaT (Borisov et al., ICLR 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from tagal_dspy.codecs.base import Decoded, RowCodec
from tagal_dspy.codecs.records import QUOTE, max_lines, one_cell, quoted, records, unfenced
from tagal_dspy.gbnf import free_text, literal, one_of
from tagal_dspy.schema import ModelledColumn, Reject, Row, TableSchema
from tagal_dspy.settings import ColumnOrder

_IS = " is "


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
        self._texts = {name for name in schema.names if self._columns[name].is_free}
        self._names = {name.lstrip(): name for name in schema.names}
        self._longest = max(map(len, self._names)) + len(_IS)
        self._max_lines = max_lines(schema)

    def encode(self, rows: Sequence[Row]) -> str:
        """The rows as an LM sees them, ending in a line feed."""
        return "".join(self._sentence(row) + "\n" for row in rows)

    def _sentence(self, row: Row) -> str:
        pairs = zip(self.wire_names, self._wired(row), strict=True)
        return ", ".join(self._part(self._columns[name], cell) for name, cell in pairs)

    def _part(self, column: ModelledColumn, cell: str | None) -> str:
        if not column.is_free:
            return _part(column.name, self._missing if cell is None else cell)
        # Any word may be a text, so nothing is said for a missing one; all others are in quotes, to have one form.
        return _part(column.name, "") if cell is None else quoted(f"{column.name} is {cell}")

    def decode(self, text: str) -> Decoded:
        """The rows in an LM's answer, whatever text is around them; other lines are rejected with a reason."""
        rows: list[Row] = []
        rejects: list[Reject] = []
        for raw, parts in records(unfenced(text), spaced=True, max_lines=self._max_lines):
            found = dict(filter(None, map(self._value, parts or [])))
            if not found:
                rejects.append(Reject.of("unparsable", raw, "no `name is value`"))
            elif len(parts or []) != len(self.wire_names) or len(found) != len(self.wire_names):
                absent = [name for name in self.wire_names if name not in found]
                rejects.append(Reject.of("wrong_width", raw, f"{len(parts or [])} parts; without {absent}"))
            else:
                rows.append(tuple(found[name] for name in self.schema.names))
        return Decoded(tuple(rows), tuple(rejects))

    def _value(self, part: str) -> tuple[str, str | None] | None:
        padded = f" {part.lstrip()} "
        at = padded.rfind(_IS, 0, 1 + self._longest)
        while at >= 0:  # the longest name counts
            name = self._names.get(padded[1:at])
            if name is not None:
                value = padded[at + len(_IS) : -1]
                return name, None if value == ("" if name in self._texts else self._missing) else value
            at = padded.rfind(_IS, 0, at + len(_IS) - 1)
        return None

    def _row_rule(self, columns: Sequence[ModelledColumn]) -> str:
        return ' ", " '.join(f"cell-{i}" for i in range(len(columns))) + ' "\\n"'

    def closed(self, name: str, texts: Sequence[str]) -> str:
        """One of some texts."""
        return one_of(_part(name, text) for text in texts)

    def plain(self, name: str, rule: str, *, is_number: bool) -> str:
        """What a rule derives, behind a name that may need quotes."""
        before, after = _part(name, "0").rsplit("0", 1)
        tail = f" {literal(after)}" if after else ""
        return f"{literal(before)} ({rule}){tail}"

    def free(self, name: str, max_length: int, multiline: bool) -> str:
        """Any text of up to so many characters."""
        before = quoted(f"{name} is ")[:-1]
        return f"{literal(before)} {free_text(max_length, multiline, {QUOTE: QUOTE * 2})} {literal(QUOTE)}"

    def _missing_cell(self, column: ModelledColumn) -> str:
        return self._part(column, None)


def _part(name: str, value: str) -> str:
    return one_cell(f"{name} is {value}")


def _missing_word(schema: TableSchema) -> str:
    taken = {each for column in schema.modelled for each in column.offered}
    word = "missing"
    while word in taken:
        word = f"({word})"
    return word
