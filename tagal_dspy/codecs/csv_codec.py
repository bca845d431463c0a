"""Rows as CSV with a header: the fewest tokens, and what models have seen most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from tagal_dspy.codecs.base import Decoded, RowCodec
from tagal_dspy.codecs.records import QUOTE, Record, max_lines, one_cell, one_line, quoted, records, unfenced
from tagal_dspy.gbnf import free_text, literal, one_of
from tagal_dspy.schema import ModelledColumn, Reject, Row, TableSchema
from tagal_dspy.settings import ColumnOrder


class CsvCodec(RowCodec):
    r"""Header and rows, quoted as RFC 4180; a missing value is an empty cell.

    >>> import pandas as pd
    >>> from tagal_dspy.schema import TableSchema
    >>> schema = TableSchema.infer(pd.DataFrame({"job": ["clerk, senior", "cook"], "age": [41, 30]}))
    >>> CsvCodec(schema).decode('job,age\n"clerk, senior",41\n').rows
    (('clerk, senior', '41'),)
    """

    name = "csv"

    def __init__(self, schema: TableSchema, order: ColumnOrder = "original") -> None:
        super().__init__(schema, order)
        self._text_places = {i for i, name in enumerate(self.wire_names) if self._columns[name].is_free}
        self._max_lines = max_lines(schema)

    def encode(self, rows: Sequence[Row]) -> str:
        """The rows as an LM sees them, ending in a line feed."""
        lines = [one_line(self.wire_names), *(self._line(self._wired(row)) for row in rows)]
        return "\n".join(lines) + "\n"

    def _line(self, cells: Sequence[str | None]) -> str:
        texts = [cell or "" for cell in cells]
        if not self._text_places or texts == [""]:
            return one_line(texts)
        # Free text is always in quotes, so that a model is shown one form of it.
        return ",".join(
            quoted(text) if text and i in self._text_places else one_cell(text) for i, text in enumerate(texts)
        )

    def decode(self, text: str) -> Decoded:
        """The rows in an LM's answer, whatever text is around them; other lines are rejected with a reason."""
        found = list(records(unfenced(text), max_lines=self._max_lines))
        start, from_wire = self._after_header(found)
        rows: list[Row] = []
        rejects: list[Reject] = []
        width = len(self.wire_names)
        above = found[: max(0, start - 1)]
        if not any(map(self._is_prose, above)):
            whole = [cells for _, cells in above if cells is not None and len(cells) == width > 1]
            rows += [tuple(cells[i] or None for i in self._from_wire) for cells in whole]
        for raw, cells in found[start:]:
            if cells is None or (len(cells) == 1 and width > 1):
                rejects.append(Reject.of("unparsable", raw, "no row of comma-separated cells"))
            elif len(cells) != width:
                rejects.append(Reject.of("wrong_width", raw, f"{len(cells)} cells for {width} columns"))
            else:
                rows.append(tuple(cells[i] or None for i in from_wire))
        return Decoded(tuple(rows), tuple(rejects))

    def _is_prose(self, record: Record) -> bool:
        return len(self.wire_names) > 1 and (record[1] is None or len(record[1]) == 1)

    def _after_header(self, found: list[Record]) -> tuple[int, list[int]]:
        """Where the rows start, and for each column of the schema its place on the wire.

        A header may stand below some prose, or rows in the usual order, and may order the columns as it likes. Of
        several with prose between them, the last one that rows follow counts: those above it are drafts.
        """
        n_prose = list(accumulate(map(self._is_prose, found)))
        for spelling in (str, _loose):  # names may differ in case alone
            headers = list(self._headers(found, spelling))
            if headers:
                chosen = headers[0]
                for start, from_wire in headers[1:]:
                    has_rows = start < len(found) and len(found[start][1] or []) == len(from_wire)
                    if has_rows and n_prose[start - 1] > n_prose[chosen[0] - 1]:
                        chosen = start, from_wire
                return chosen
        return 0, self._from_wire

    def _headers(self, found: list[Record], spelling: Callable[[str], str]) -> Iterator[tuple[int, list[int]]]:
        names = self.schema.names
        wanted = {spelling(name): name for name in names}
        for i, (_, cells) in enumerate(found):
            if cells is None or len(cells) != len(names):
                continue
            header = [wanted.get(spelling(cell)) for cell in cells]
            if set(header) == set(names):
                yield i + 1, [header.index(name) for name in names]

    def _row_rule(self, columns: Sequence[ModelledColumn]) -> str:
        return ' "," '.join(f"cell-{i}" for i in range(len(columns))) + ' "\\n"'

    def closed(self, name: str, texts: Sequence[str]) -> str:
        """One of some texts."""
        alone = len(self.wire_names) == 1
        return one_of(one_line([text]) if alone else one_cell(text) for text in texts)

    def plain(self, name: str, rule: str, *, is_number: bool) -> str:
        """What a rule derives, which has no character that needs quotes."""
        return rule

    def free(self, name: str, max_length: int, multiline: bool) -> str:
        """Any text of up to so many characters."""
        return f"{literal(QUOTE)} {free_text(max_length, multiline, {QUOTE: QUOTE * 2})} {literal(QUOTE)}"

    def _missing_cell(self, column: ModelledColumn) -> str:
        return one_line([""] * len(self.wire_names)).strip(",")  # quoted where it is the whole row


def _loose(name: str) -> str:
    return name.strip().casefold()
