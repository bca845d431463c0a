"""Every error this library raises on purpose.

Each derives from `TagalError` and from the builtin a caller would already catch, and its message says what came,
what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

MAX_LISTED = 12
"""Known names that a message lists when none of them is near."""


class TagalError(Exception):
    """Root of all errors raised on purpose."""


class DataError(TagalError, ValueError):
    """A table cannot be used: unreadable, empty, or with columns that make no sense."""


class SettingsError(TagalError, ValueError):
    """A setting has an impossible value or does not exist."""


class ConditionError(SettingsError):
    """A condition on rows cannot be read, does not suit the table, or no row can meet it."""


class RuleError(SettingsError):
    """A rule does not suit the table, contradicts another one, or real rows break it."""


class TaskNotFoundError(TagalError, LookupError):
    """A pickled or saved task id names no `TableTask` of this process."""


class OutputError(TagalError, OSError):
    """A file or folder cannot be written."""


class RunError(TagalError, ValueError):
    """The record of a run cannot be used: it is of another run, or in use."""


class RunEndedError(TagalError, RuntimeError):
    """A call is asked for after its run has ended."""


class ProgramError(TagalError, ValueError):
    """A saved program does not fit the module it is loaded into."""


class EngineError(TagalError, RuntimeError):
    """The language model cannot be started, reached or used."""


class PromptTooLongError(EngineError):
    """The prompt and the rows asked for do not fit the model's context window."""


class NotEnoughRowsError(TagalError, RuntimeError):
    """The bounded number of draws is used up before enough rows were accepted.

    Attributes:
        prediction: a `dspy.Prediction` like the one a finished run returns, holding all that was accepted.
    """

    def __init__(self, message: str, prediction: Any) -> None:
        super().__init__(message)
        self.prediction = prediction


class BudgetError(NotEnoughRowsError):
    """The budget is used up before enough rows were accepted. See `NotEnoughRowsError`."""

    def __init__(self, message: str, prediction: Any = None) -> None:
        super().__init__(message, prediction)


def cause_of(error: BaseException | None) -> TagalError | None:
    """The error of this library behind another one: DSPy wraps what engines raise."""
    while error is not None and not isinstance(error, TagalError):
        error = error.__cause__ or error.__context__
    return error


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the known one nearest to it, or the known ones.

    >>> nearest("incom", ["age", "income"])
    "did you mean 'income'?"
    >>> nearest("x", ["age", "income"])
    "known are 'age', 'income'"
    """
    names = list(known)
    wanted, by_spelling = name.strip().casefold(), {each.strip().casefold(): each for each in reversed(names)}
    found = difflib.get_close_matches(wanted, by_spelling, n=1)
    found = found or [each for each in reversed(by_spelling) if len(wanted) > 2 and wanted in each]
    if found:
        return f"did you mean {by_spelling[found[0]]!r}?"
    others = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"known are {', '.join(map(repr, names[:MAX_LISTED]))}{others}"
