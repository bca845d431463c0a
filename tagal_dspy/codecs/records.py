"""Comma-separated records in text that an LM wrote: quoted as in RFC 4180, with strays."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from tagal_dspy.schema import TableSchema

OPENING_FENCE = re.compile(r"^[ \t]*```[ \t\r]*(?:[\w+-]+[ \t\r]*)?\n", re.MULTILINE)
_FENCE = re.compile("```")
_FENCE_LINE = re.compile(r"^[ \t]*```[^`\n]*$", re.MULTILINE)

QUOTE = '"'

_MUST_BE_QUOTED = re.compile(r'[",\r\n]|\[\[ ## ')
"""What ends a cell, and what DSPy's chat format begins a field with: a cell must do neither."""

Record = tuple[str, "list[str] | None"]
"""Raw text and cells; None for the cells where quotes do not match."""

MAX_JOINED = 50
"""Lines that a record may span, unless it holds free text; an odd quote further from its partner is a stray."""


def one_line(cells: Sequence[str]) -> str:
    """The cells as one record, without a line feed at its end."""
    # A line of nothing but blanks would be no record, and one of a code fence would be none either.
    alone = len(cells) == 1 and re.match(r"\s*(```|$)", cells[0])
    return quoted(cells[0]) if alone else ",".join(map(one_cell, cells))


def one_cell(text: str) -> str:
    """The text as a cell among others, quoted where it must be."""
    return quoted(text) if _MUST_BE_QUOTED.search(text) else text


def quoted(text: str) -> str:
    """The text as a cell in quotes, whether it must have them or not."""
    return QUOTE + text.replace(QUOTE, QUOTE * 2) + QUOTE


def max_lines(schema: TableSchema) -> int:
    """Lines that one record may span: every character of a free text could be a line feed."""
    texts = [column for column in schema.modelled if column.is_free and getattr(column, "multiline", False)]
    return max(MAX_JOINED, 1 + sum(column.longest for column in texts))


def records(text: str, spaced: bool = False, max_lines: int = MAX_JOINED) -> Iterator[Record]:
    """Each record; blank lines are skipped.

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
    opening = next((at for at, in_cell in with_place(OPENING_FENCE.finditer(text), text) if not in_cell), None)
    if opening is None:
        return text
    inside = text[opening.end() :]
    closings = list(with_place(_FENCE.finditer(inside), inside))
    outside = [at.start() for at, in_cell in closings if not in_cell]
    # Where a quote is left open, every fence seems to be in a cell; the last one is most likely none.
    last = [at.start() for at, _ in closings[-1:]]
    return inside[: (outside or last or [len(inside)])[0]]


def fences(text: str) -> list[str]:
    """The insides of all Markdown code fences that no quoted cell holds."""
    marks = [at for at, in_cell in with_place(_FENCE_LINE.finditer(text), text) if not in_cell]
    ends = [mark.start() for mark in marks[1::2]] + [len(text)]
    return [text[opening.end() : end] for opening, end in zip(marks[::2], ends, strict=False)]


def with_place(matches: Iterable[re.Match[str]], text: str) -> Iterator[tuple[re.Match[str], bool]]:
    """Every match, and whether it stands in a quoted cell."""
    n_quotes = counted = 0
    for match in matches:
        n_quotes += text.count(QUOTE, counted, match.start())
        counted = match.start()
        yield match, n_quotes % 2 == 1


def _end_of_record(lines: list[str], start: int, max_lines: int) -> int:
    quotes = 0
    for end in range(start, min(start + max_lines, len(lines))):
        quotes += lines[end].count('"')
        if quotes % 2 == 0:
            return end + 1
    return start + 1


def _cells(raw: str, spaced: bool) -> list[str] | None:
    if QUOTE not in raw and "\r" not in raw:
        return [cell.lstrip(" ") if spaced else cell for cell in raw.split(",")]
    try:
        found = list(csv.reader(io.StringIO(raw, newline=""), skipinitialspace=spaced, strict=True))
    except csv.Error:
        return None
    return found[0] if len(found) == 1 else None


def _blank_before_quote(raw: str) -> bool:
    """Whether blanks after commas must go, because CSV would not see a quote behind one; otherwise they are kept."""
    return ', "' in raw and ', "' in re.sub(r'"[^"]*(?:""[^"]*)*"', '"', raw)
