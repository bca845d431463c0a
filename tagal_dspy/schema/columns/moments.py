"""Moments written in one format: the small part of `strftime` whose parts have a fixed number of digits."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y/%m/%d",
    "%d/%m/%Y",  # before month first, so that a column that could be either counts as day first
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d-%m-%Y",
    "%H:%M",
    "%H:%M:%S",
)
"""The formats that are recognised, in this order; a user may name any other made of the same parts."""

PARTS = "YmdHMSf"
"""Year, month, day, hour, minute, second and microsecond, as `strftime` has them; the first is the largest."""

_WRITTEN = {
    "Y": "{0.year:04d}",
    "m": "{0.month:02d}",
    "d": "{0.day:02d}",
    "H": "{0.hour:02d}",
    "M": "{0.minute:02d}",
    "S": "{0.second:02d}",
    "f": "{0.microsecond:06d}",
}
_READ = {part: rf"(?P<{part}>\d\d|(?<!\d)\d(?!\d))" for part in "mdH"} | {
    "Y": r"(?P<Y>\d{4})",
    "M": r"(?P<M>\d\d)",
    "S": r"(?P<S>\d\d)",
    "f": r"(?P<f>\d{1,6})",
}
_SAMPLE = 50


class MomentFormat:
    """Reads and writes moments in one format.

    Without a date, moments are on 1 January 1900, as `strptime` has it. Days, months and hours
    without their leading zero are read too.

    >>> MomentFormat("%d/%m/%Y").read("5/11/2024")
    datetime.datetime(2024, 11, 5, 0, 0)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = tuple(re.findall("%(.)", text))
        dates = [part for part in self.parts if part in "Ymd"]
        known = set(self.parts) <= set(PARTS) and len(set(self.parts)) == len(self.parts) > 0
        if not known or len(dates) not in (0, 3) or not text.isprintable() or '"' in text or "," in text:
            raise ValueError(
                f"format {text!r} is not supported; write %Y, %m and %d, or none of them, and %H, %M, %S, %f, each at "
                "most once, with anything but commas and quotes between them"
            )
        self._writer = re.sub("%(.)", lambda part: _WRITTEN[part[1]], text.replace("{", "{{").replace("}", "}}"))

    @cached_property
    def _reader(self) -> re.Pattern[str]:
        return re.compile(re.sub("%(.)", lambda part: _READ[part[1]], re.sub(r"[^%\w]", r"\\\g<0>", self.text)))

    def read(self, text: str) -> datetime:
        """The moment that a text stands for; raises `ValueError`."""
        found = self._reader.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not written as {self.text}")
        part = found.groupdict("0")
        date = (int(part.get("Y", 1900)), int(part.get("m", 1)), int(part.get("d", 1)))
        hour, minute, second = (int(part.get(name, 0)) for name in "HMS")
        return datetime(*date, hour, minute, second, int(f"{part.get('f', 0):0<6}"))

    def write(self, moment: datetime) -> str:
        """The moment as text, to the format's smallest part."""
        return self._writer.format(moment)

    def read_all(self, texts: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """The moments of many texts, in microseconds; raises `ValueError`."""
        found = pd.to_datetime(texts, format=self.text, errors="coerce", utc="Z" in self.text)
        moments = found.tz_localize(None).to_numpy().astype("datetime64[us]")
        for i in np.flatnonzero(np.isnat(moments)):  # also what is no date to pandas: the year 9999
            moments[i] = self.read(texts[i])
        return np.asarray(moments)


def recognised(texts: np.ndarray[Any, Any]) -> str | None:
    """The first known format in which all distinct texts are written; None where there is none."""
    for text in FORMATS:
        known = MomentFormat(text)
        try:
            for sample in texts[:_SAMPLE]:
                known.read(sample)
            known.read_all(texts)
        except ValueError:
            continue
        return text
    return None


def shortest(moments: np.ndarray[Any, np.dtype[np.datetime64]]) -> str:
    """The shortest ISO format that says all of the moments, to the microsecond."""
    for unit, text in (("D", "%Y-%m-%d"), ("m", "%Y-%m-%d %H:%M"), ("s", "%Y-%m-%d %H:%M:%S")):
        if (moments.astype(f"datetime64[{unit}]") == moments).all():
            return text
    return "%Y-%m-%d %H:%M:%S.%f"
