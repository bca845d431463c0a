"""Every error this library raises on purpose.

Each derives from `TagalError` and from the builtin a caller would already catch, and its message says what came,
what was expected and what to do.
"""

from __future__ import annotations

from typing import Any


class TagalError(Exception):
    """Root of all errors raised on purpose."""


class DataError(TagalError, ValueError):
    """A table cannot be used: unreadable, empty, or with columns that make no sense."""


class SettingsError(TagalError, ValueError):
    """A setting has an impossible value or does not exist."""


class TaskNotFoundError(TagalError, LookupError):
    """A pickled or saved task id names no `TableTask` of this process."""


class OutputError(TagalError, OSError):
    """A file or folder cannot be written."""


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
