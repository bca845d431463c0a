"""Checks of what a caller passes, for the places where users write Python."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from tagal_dspy.errors import SettingsError, TagalError, nearest

MAX_SHOWN = 40
"""Characters of a value that an error shows."""


def whole(name: str, value: Any, at_least: int) -> int:
    """The value as an `int`.

    Raises:
        SettingsError: it is not a whole number (nor are 2.0 and True), or is too small.

    >>> whole("n_rows", 8, at_least=1)
    8
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < at_least:
        raise SettingsError(f"{name} is {shown(value)}; expected a whole number of {at_least} or more")
    return int(value)


def check_type(name: str, value: Any, kinds: Any, expected: str, error: type[TagalError] = SettingsError) -> None:
    """Raise an error that says what was expected, where the value is of none of the kinds: a type, or a union."""
    if not isinstance(value, kinds):
        raise error(f"{name} is {shown(value)}; expected {expected}")


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `SettingsError` for settings that do not exist, with the known one nearest to each."""
    names = sorted(known)
    unknown = [f"{name!r} is not a setting; {nearest(name, names)}" for name in given if name not in names]
    if unknown:
        raise SettingsError("; ".join(unknown))


def shown(value: Any) -> str:
    """A value in a message: small ones as they are written, all others by their type, since they may hold real rows.

    >>> shown("8"), shown(2.5), shown([1, 2])
    ("'8'", '2.5', 'of the type list')
    """
    if value is None or isinstance(value, (str, int, float)):
        text = repr(value)
        return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return f"of the type {type(value).__name__}"
