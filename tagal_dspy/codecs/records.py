"""Comma-separated records in text that an LM wrote: quoted as in RFC 4180, with strays."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

MAX_JOINED = 50
"""Lines that one quoted cell may span; an odd quote further from its partner is taken for a stray."""


def one_line(cells: Sequence[str]) -> str:
    """The cells as one record, without a line feed at its end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)  # what ends a line is quoted inside a cell
    return out.getvalue()[:-2]


def one_cell(text: str) -> str:
    """The text as a cell among others, quoted where it must be."""
    return one_line([text, ""])[:-1]


def records(text: str, spaced: bool = False) -> Iterator[tuple[str, list[str] | None]]:
    """Raw text and cells of each record; None for the cells where quotes do not match. Blank lines are skipped.

    `spaced` records have blanks after their commas that belong to no cell.
    """
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        end = _end_of_record(lines, at)
        raw = "\n".join(lines[at:end]).rstrip("\r")
        if raw.strip():
            yield raw, _cells(raw, spaced or _blank_before_quote(raw))
        at = end


def _end_of_record(lines: list[str], start: int) -> int:
    quotes = 0
    for end in range(start, min(start + MAX_JOINED, len(lines))):
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
