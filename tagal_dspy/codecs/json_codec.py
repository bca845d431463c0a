"""Rows as JSON Lines: two to three times the tokens of CSV, for models that were trained to write JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tagal_dspy.codecs.base import Decoded, RowCodec
from tagal_dspy.codecs.records import OPENING_FENCE, QUOTE
from tagal_dspy.gbnf import free_text, literal, one_of
from tagal_dspy.schema import ModelledColumn, Reject, Row, TableSchema
from tagal_dspy.settings import ColumnOrder


class JsonCodec(RowCodec):
    r"""One object a line; numbers bare, categories as strings, a missing value as null.

    Reads rows out of arrays, of objects with a list of rows, and of answers cut off in the middle.

    >>> import pandas as pd
    >>> from tagal_dspy.schema import TableSchema
    >>> schema = TableSchema.infer(pd.DataFrame({"job": ["clerk", "cook", "cook"], "age": [41, 30, 25]}))
    >>> JsonCodec(schema).decode('{"rows": [{"age": 41, "job": "clerk"}, {"age": 2').rows
    (('clerk', '41'),)
    """

    name = "json"

    def __init__(self, schema: TableSchema, order: ColumnOrder = "original") -> None:
        super().__init__(schema, order)
        self._longest = LONGEST_BLANK + sum(_longest(column) for column in schema.modelled)

    def encode(self, rows: Sequence[Row]) -> str:
        """The rows as an LM sees them, ending in a line feed."""
        return "".join(self._object(self._wired(row)) + "\n" for row in rows)

    def _object(self, cells: Sequence[str | None]) -> str:
        pairs = zip(self.wire_names, cells, strict=True)
        return (
            "{" + ", ".join(f"{_quoted(name)}: {self._value(self._columns[name], cell)}" for name, cell in pairs) + "}"
        )

    def _value(self, column: ModelledColumn, cell: str | None) -> str:
        if cell is None:
            return "null"
        return cell if column.is_number else _quoted(cell)

    def decode(self, text: str) -> Decoded:
        """The rows in an LM's answer, whatever text is around them; other lines are rejected with a reason."""
        rows: list[Row] = []
        rejects: list[Reject] = []
        for found in _objects(_unfenced(text), self._longest):
            if isinstance(found, str):
                rejects.append(Reject.of("unparsable", found, "no complete JSON object"))
            elif found.keys() != self._columns.keys():
                keys = f"keys {sorted(found)} for {sorted(self.schema.names)}"
                rejects.append(Reject.of("wrong_width", _shown(found), keys))
            else:
                rows.append(tuple(_cell(found[name]) for name in self.schema.names))
        return Decoded(tuple(rows), tuple(rejects))

    def _row_rule(self, columns: Sequence[ModelledColumn]) -> str:
        pairs = [literal(f"{_quoted(column.name)}: ") + f" cell-{i}" for i, column in enumerate(columns)]
        return '"{" ' + ' ", " '.join(pairs) + ' "}\\n"'

    def closed(self, name: str, texts: Sequence[str]) -> str:
        """One of some texts."""
        return one_of(map(_quoted, texts))

    def plain(self, name: str, rule: str, *, is_number: bool) -> str:
        """What a rule derives, which has no character that needs quotes."""
        return rule if is_number else f"{literal(QUOTE)} ({rule}) {literal(QUOTE)}"

    def free(self, name: str, max_length: int, multiline: bool) -> str:
        """Any text of up to so many characters."""
        return f"{literal(QUOTE)} {free_text(max_length, multiline, _ESCAPES)} {literal(QUOTE)}"

    def _missing_cell(self, column: ModelledColumn) -> str:
        return "null"


_ESCAPES = {char: json.dumps(char)[1:-1] for char in '"\\\n\t'}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return _shown(value) if isinstance(value, (dict, list)) else str(value)


def _shown(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:  # JSON is read to a greater depth than it is written
        return "{...}"


LONGEST_BLANK = 1000
"""Characters of a row between its cells, or of a cell that is not such a value."""

_CLOSING_FENCE = re.compile("^[ \\t]*```", re.MULTILINE)
_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)


def _unfenced(text: str) -> str:
    """The inside of the first Markdown code fence, or the whole text; none in a JSON string has its own line."""
    opening = OPENING_FENCE.search(text)
    if opening is None:
        return text
    closing = _CLOSING_FENCE.search(text, opening.end())
    return text[opening.end() : closing.start() if closing else len(text)]


def _objects(text: str, longest: int) -> Iterator[dict[str, Any] | str]:
    """Every row object of at most so many characters, and the text of what began like one and is none."""
    at = 0
    while (at := text.find("{", at)) >= 0:
        try:
            # Of a part alone, or the time for an answer of broken objects would grow with its square.
            found, length = _DECODER.raw_decode(text[at : at + longest])
            end = at + length
        except (ValueError, RecursionError):
            end = _next_object(text, at)
            if not _opens_a_list(text[at:end]):
                yield text[at:end]
        else:
            yield from _rows_in(found)
        at = end


def _longest(column: ModelledColumn) -> int:
    """Characters that a cell may take with its name, each of them escaped."""
    return 6 * (len(column.name) + column.longest)


def _rows_in(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if len(found) == 1:
        inner = next(iter(found.values()))
        if isinstance(inner, list) and all(isinstance(each, dict) for each in inner):
            yield from inner
            return
    yield found


def _next_object(text: str, at: int) -> int:
    following = text.find("{", at + 1)
    return following if following >= 0 else len(text)


def _opens_a_list(text: str) -> bool:
    """Whether the broken object is only the wrapper of rows that follow, as in `{"rows": [`."""
    return text.rstrip().endswith("[")
