"""Comma-separated records in text that an LM wrote: quoted as in RFC 4180, with strays."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from tagal_dspy.schema import TableSchema, TextColumn

_OPENING = re.compile(r"^[ \t]*```[ \t]*[\w+-]*[ \t\r]*\n", re.MULTILINE)

QUOTE = '"'

MAX_JOINED = 50
"""Lines that a record may span, unless it holds free text; an odd quote further from its partner is a stray."""


def one_line(cells: Sequence[str]) -> str:
    """The cells as one record, without a line feed at its end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)  # what ends a line is quoted inside a cell
    return out.getvalue()[:-2]


def one_cell(text: str) -> str:
    """The text as a cell among others, quoted where it must be."""
    return one_line([text, ""])[:-1]


def quoted(text: str) -> str:
    """The text as a cell in quotes, whether it must have them or not."""
    return QUOTE + text.replace(QUOTE, QUOTE * 2) + QUOTE


def max_lines(schema: TableSchema) -> int:
    """Lines that one record may span: every character of a free text could be a line feed."""
    texts = [column for column in schema.modelled if isinstance(column, TextColumn) and column.multiline]
    return max(MAX_JOINED, 1 + sum(column.max_length for column in texts))


def records(text: str, spaced: bool = False, max_lines: int = MAX_JOINED) -> Iterator[tuple[str, list[str] | None]]:
    """Raw text and cells of each record; None for the cells where quotes do not match. Blank lines are skipped.

    `spaced` records have blanks after their commas that belong to no cell. A record spans at most `max_lines` lines.
    """
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        end = _end_of_record(lines, at, max_lines)
        raw = "\n".join(lines[at:end]).rstrip("\r")
        if raw.strip():
            yield raw, _cells(raw, spaced or _blank_before_quote(raw))
        at = end


def unfenced(text: str) -> str:
    """The inside of the first Markdown code fence that no quoted cell holds; the whole text where there is none."""
    opening = next((found for found in _OPENING.finditer(text) if text.count('"', 0, found.start()) % 2 == 0), None)
    if opening is None:
        return text
    inside = text[opening.end() :]
    closings = [found.start() for found in re.finditer("```", inside)]
    outside = [at for at in closings if inside.count('"', 0, at) % 2 == 0]
    # Where a quote is left open, every fence seems to be in a cell; the last one is most likely none.
    return inside[: (outside or closings[-1:] or [len(inside)])[0]]


def _end_of_record(lines: list[str], start: int, max_lines: int) -> int:
    quotes = 0
    for end in range(start, min(start + max_lines, len(lines))):
        quotes += lines[end].count('"')
        if quotes % 2 == 0:
            return end + 1
    return start + 1


def _cells(raw: str, spaced: bool) -> list[str] | None:
    try:
        found = list(csv.reader(io.StringIO(raw, newline=""), skipinitialspace=spaced, strict=True))
    except csv.Error:
        return None
    return found[0] if len(found) == 1 else None


def _blank_before_quote(raw: str) -> bool:
    """Whether blanks after commas must go, because CSV would not see a quote behind one; otherwise they are kept."""
    return ', "' in re.sub(r'"(?:[^"]|"")*"', '"', raw)
