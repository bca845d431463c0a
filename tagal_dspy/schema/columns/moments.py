"""Moments written in one format: the part of `strftime` that tables use."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

MONTHS = calendar.month_abbr[1:]


class Part(NamedTuple):
    """One part of a format, such as `%m`.

    Attributes:
        field: the field of a `datetime` that it writes.
        pattern: what it is written as; the one number with fewer digits is read too.
        strict: exactly what it is written as.
        write: from the field to text.
    """

    field: str
    pattern: str
    strict: str
    write: Callable[[int], str]


def _two_digits(field: str, strict: str, unpadded: str) -> dict[str, Part]:
    code = _CODES[field]
    pattern = r"\d\d|(?<!\d)\d(?!\d)"
    return {
        code: Part(field, pattern, strict, lambda number: f"{number:02d}"),
        f"-{code}": Part(field, pattern, unpadded, str),
    }


_CODES = {"month": "m", "day": "d", "hour": "H"}

PARTS: dict[str, Part] = {
    "Y": Part("year", r"\d{4}", r"\d{4}", lambda number: f"{number:04d}"),
    "y": Part("year", r"\d\d", r"\d\d", lambda number: f"{number % 100:02d}"),
    **_two_digits("month", r"(?:0[1-9]|1[0-2])", r"(?:[1-9]|1[0-2])"),
    "b": Part("month", "[A-Za-z]{3}", f"(?:{'|'.join(MONTHS)})", lambda number: MONTHS[number - 1]),
    **_two_digits("day", r"(?:0[1-9]|[12]\d|3[01])", r"(?:[1-9]|[12]\d|3[01])"),
    **_two_digits("hour", r"(?:[01]\d|2[0-3])", r"(?:\d|1\d|2[0-3])"),
    "I": Part("hour", r"\d\d?", r"(?:0[1-9]|1[0-2])", lambda number: f"{(number + 11) % 12 + 1:02d}"),
    "-I": Part("hour", r"\d\d?", r"(?:[1-9]|1[0-2])", lambda number: str((number + 11) % 12 + 1)),
    "p": Part("half", "[AaPp][Mm]", "[AP]M", lambda number: "PM" if number >= 12 else "AM"),
    "M": Part("minute", r"\d\d", r"[0-5]\d", lambda number: f"{number:02d}"),
    "S": Part("second", r"\d\d", r"[0-5]\d", lambda number: f"{number:02d}"),
    "f": Part("microsecond", r"\d{1,6}", r"\d{6}", lambda number: f"{number:06d}"),
    "3f": Part("microsecond", r"\d{1,6}", r"\d{3}", lambda number: f"{number // 1000:03d}"),
}
"""As `strftime` has them, `%-d` without a leading zero, and `%3f` for milliseconds."""

FIELDS = ("year", "month", "day", "hour", "minute", "second", "microsecond")

_PART = re.compile(r"%(-?[A-Za-z]|3f)")


class MomentFormat:
    """Reads and writes moments in one format.

    Without a date, moments are on 1 January 1900, as `strptime` has it. Days, months and hours
    without their leading zero are read too.

    >>> MomentFormat("%d/%m/%Y").read("5/11/2024")
    datetime.datetime(2024, 11, 5, 0, 0)
    >>> MomentFormat("%-I:%M %p").write(datetime(1900, 1, 1, 21, 5))
    '9:05 PM'
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = tuple(_PART.findall(text))
        fields = [PARTS[part].field for part in self.parts if part in PARTS]
        is_known = len(fields) == len(set(fields)) == len(self.parts) == text.count("%") > 0
        dates = {"year", "month", "day"} & {*fields}
        is_date = dates in (set(), {"year", "month"}, {"year", "month", "day"})
        has_half = ("half" in fields) == any(part.endswith("I") for part in self.parts)
        is_plain = text.isprintable() and '"' not in text and "," not in text
        if not (is_known and is_date and has_half and is_plain):
            raise ValueError(
                f"format {text!r} is not supported; write %Y, %m and %d, or none of them, and %H, %M, %S, %f, each at "
                "most once, with anything but commas and quotes between them"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a `datetime` that it holds, the largest first."""
        held = {PARTS[part].field for part in self.parts}
        return tuple(field for field in FIELDS if field in held)

    @cached_property
    def _reader(self) -> re.Pattern[str]:
        return re.compile(self._pattern(lambda part: f"(?P<{PARTS[part].field}>{PARTS[part].pattern})"))

    @cached_property
    def pattern(self) -> str:
        """A regular expression of what `write` writes; days are not held against the month."""
        return f"^{self._pattern(lambda part: PARTS[part].strict)}$"

    def _pattern(self, part: Callable[[str], str]) -> str:
        pieces = split_format(self.text)
        return "".join(part(piece) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))

    def read(self, text: str) -> datetime:
        """The moment that a text stands for; raises `ValueError`."""
        found = self._reader.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not written as {self.text}")
        part = found.groupdict("0")
        year, month = part.get("year", "1900"), part.get("month", "1")
        if len(year) == 2:  # as POSIX has it
            year = f"{'19' if int(year) >= 69 else '20'}{year}"
        number = MONTHS.index(month.title()) + 1 if month.isalpha() else int(month)
        hour, minute, second = (int(part.get(name, 0)) for name in ("hour", "minute", "second"))
        if "half" in part:
            if not 1 <= hour <= 12:
                raise ValueError(f"{text!r} has no such hour")
            hour = hour % 12 + (12 if part["half"].lower() == "pm" else 0)
        microsecond = int(f"{part.get('microsecond', 0):0<6}")
        return datetime(int(year), number, int(part.get("day", 1)), hour, minute, second, microsecond)

    def write(self, moment: datetime) -> str:
        """The moment as text, to the format's smallest part."""
        return _PART.sub(lambda found: _written(found[1], moment), self.text)

    def read_all(self, texts: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """The moments of many texts, in microseconds; raises `ValueError`."""
        known = re.sub(r"%-|%3", "%", self.text)
        found = pd.to_datetime(texts, format=known, errors="coerce", utc="Z" in self.text)
        moments = found.tz_localize(None).to_numpy().astype("datetime64[us]")
        for i in np.flatnonzero(np.isnat(moments)):  # also dates that pandas does not know: the year 9999
            moments[i] = self.read(texts[i])
        return np.asarray(moments)


def split_format(text: str) -> list[str]:
    """The text between the parts of a format at the even places, the parts at the odd ones."""
    return _PART.split(text)


def _written(part: str, moment: datetime) -> str:
    field = PARTS[part].field
    return PARTS[part].write(moment.hour if field == "half" else getattr(moment, field))


_DATES = ("%Y-%m-%d", "%Y/%m/%d", *(f"{a}{s}{b}{s}%Y" for s in "/.-" for a, b in (("%d", "%m"), ("%m", "%d"))))
_UNPADDED = tuple(re.sub("%(?=[dm])", "%-", date) for date in _DATES)
_NAMED = tuple(f"{day}{s}%b{s}{year}" for s in "- " for day in ("%d", "%-d") for year in ("%Y", "%y"))
_TIMES = tuple(hour + rest for hour, rest in product(("%H:%M", "%-H:%M"), ("", ":%S", ":%S.%3f", ":%S.%f"))) + tuple(
    f"{hour}:%M{seconds} %p" for hour in ("%I", "%-I") for seconds in ("", ":%S")
)


def _formats() -> Iterator[str]:
    """The formats that are recognised, in this order: of those that both fit, the first is taken."""
    yield from (*_DATES, *_UNPADDED, *_NAMED, *_TIMES, "%Y-%m", "%Y/%m", "%m/%Y")
    for date, blank in product((*_DATES, *_UNPADDED), " T"):
        yield from (f"{date}{blank}{time}" for time in _TIMES)
    yield from ("%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S")


FORMATS = tuple(_formats())
"""The formats that are recognised; a user may name any other made of the same parts."""

_ZONE = re.compile(r":\d\d(?:\.\d+)?(?P<zone> ?[+-]\d\d:?\d\d|Z)$")
_SAMPLE = 50


def recognised(texts: np.ndarray[Any, Any]) -> str | None:
    """The first known format in which all distinct texts are written; None where there is none.

    A time zone is part of the format where it is the same for all.
    """
    if not len(texts) or len(texts[0]) > 40:
        return None
    return next(fitting(texts), None)


def fitting(texts: np.ndarray[Any, Any]) -> Iterator[str]:
    """The known formats in which all distinct texts are written."""
    zone = _ZONE.search(texts[0])
    ending = zone["zone"] if zone else ""
    for text in _of_length(texts[0].removesuffix(ending)):
        known = MomentFormat(text + ending)
        sample = re.compile(known.pattern)
        if all(sample.fullmatch(each) for each in texts[:_SAMPLE]) and _fits(known, texts):
            yield known.text


def _of_length(text: str) -> Iterator[str]:
    """The formats whose marks are those of a text."""
    marks = re.sub(r"\w", "", text)
    yield from _BY_MARKS.get(marks, ())


_BY_MARKS: dict[str, list[str]] = {}
for _text in FORMATS:
    _BY_MARKS.setdefault(re.sub(r"%3f|%-?\w|\w", "", _text), []).append(_text)


def _fits(known: MomentFormat, texts: np.ndarray[Any, Any]) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.all(pc.match_substring_regex(pa.array(texts, pa.string()), known.pattern)).as_py():
        return False
    try:
        known.read_all(texts)
    except ValueError:
        return False
    return True


def shortest(moments: np.ndarray[Any, np.dtype[np.datetime64]]) -> str:
    """The shortest ISO format that says all of the moments, to the microsecond."""
    for unit, text in (("D", "%Y-%m-%d"), ("m", "%Y-%m-%d %H:%M"), ("s", "%Y-%m-%d %H:%M:%S")):
        if (moments.astype(f"datetime64[{unit}]") == moments).all():
            return text
    return "%Y-%m-%d %H:%M:%S.%f"
