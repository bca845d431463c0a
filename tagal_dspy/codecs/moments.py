"""GBNF of dates and times within a range, to the last day: no 30 February, leap days in leap years alone."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence

from tagal_dspy.codecs.grammar import boxes, digits_between, literal
from tagal_dspy.schema import DatetimeColumn
from tagal_dspy.schema.columns.moments import PARTS

Range = tuple[int, int]

_BOUNDS: dict[str, Range] = {
    "Y": (1, 9999),
    "m": (1, 12),
    "d": (1, 31),
    "H": (0, 23),
    "M": (0, 59),
    "S": (0, 59),
    "f": (0, 999_999),
}
_N_DIGITS = {"Y": 4, "f": 6}
_LONG, _SHORT = (1, 3, 5, 7, 8, 10, 12), (4, 6, 9, 11)


def moment(column: DatetimeColumn) -> str:
    """Every moment of the column's range in its format, and nothing else.

    >>> range = {"format": "%H:%M", "minimum": "09:30", "maximum": "11:59"}
    >>> print(moment(DatetimeColumn(name="at", dtype="object", **range)))
    "0" "9" ":" [3-5] [0-9] | "1" [0-1] ":" [0-5] [0-9]
    """
    parts = sorted(column.moments.parts, key=PARTS.index)
    names = {"Y": "year", "m": "month", "d": "day", "H": "hour", "M": "minute", "S": "second", "f": "microsecond"}
    low, high = ([int(getattr(bound, names[part])) for part in parts] for bound in column.range)
    alternatives = []
    for box in boxes(low, high, [_BOUNDS[part] for part in parts]):
        for valid in _on_the_calendar(dict(zip(parts, box, strict=True))):
            alternatives.append(_written(column.format, valid))
    return " | ".join(alternatives)


def _on_the_calendar(box: dict[str, Range]) -> Iterator[dict[str, Sequence[int]]]:
    """The numbers of each part, split where how many days there are depends on month and year."""
    numbers = {part: range(first, last + 1) for part, (first, last) in box.items()}
    if "d" not in box:
        yield dict(numbers)
        return
    leap_years = [year for year in numbers["Y"] if calendar.isleap(year)]
    for years, months, n_days in (
        (numbers["Y"], _LONG, range(1, 32)),
        (numbers["Y"], _SHORT, range(1, 31)),
        (numbers["Y"], (2,), range(1, 29)),
        (leap_years, (2,), range(29, 30)),
    ):
        valid: dict[str, Sequence[int]] = {
            **numbers,
            "Y": years,
            "m": [month for month in numbers["m"] if month in months],
            "d": [day for day in numbers["d"] if day in n_days],
        }
        if all(map(len, valid.values())):
            yield valid


def _written(format: str, numbers: dict[str, Sequence[int]]) -> str:
    pieces = re.split("%(.)", format)
    texts = [literal(piece) if piece else "" for piece in pieces[::2]]
    parts = [_group(numbers[part], _N_DIGITS.get(part, 2)) for part in pieces[1::2]]
    return " ".join(piece for pair in zip(texts, [*parts, ""], strict=True) for piece in pair if piece)


def _group(numbers: Sequence[int], n_digits: int) -> str:
    runs: list[Range] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    options = []
    for first, last in runs:
        options += digits_between(f"{first:0{n_digits}d}", f"{last:0{n_digits}d}")
    return options[0] if len(options) == 1 else f"({' | '.join(options)})"
