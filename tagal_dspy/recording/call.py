"""One call of a language model, reserved with every recorder that is active, and its further tries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from tagal_dspy.recording.recorder import Recorder, current_promise
from tagal_dspy.recording.usage import Usage

_call: ContextVar[Call | None] = ContextVar("call", default=None)


class Call:
    """A call that is under way.

    Args:
        recorders: of its context.
        key: names it.
        model: that is asked.
    """

    def __init__(self, recorders: Sequence[Recorder], key: str, model: str) -> None:
        self.model = model
        self._recorders, self._key, self._promise = recorders, key, current_promise()
        self._reserved: list[Recorder] = []

    def reserve(self) -> None:
        """Reserve one try with all recorders, or with none where one of the budgets forbids it."""
        try:
            for recorder in self._recorders:
                recorder.reserve(self._key, self.model)
                self._reserved.append(recorder)
        except BaseException:
            self.settle(Usage())
            raise
        if self._promise is not None:
            self._promise.made += 1

    def retry(self) -> None:
        """Count a try that got no answer, and reserve the next one."""
        self.settle(Usage.of_call(self.model, 0, 0))
        self.reserve()

    def check_open(self) -> None:
        """Raise `RunEndedError` where one of the recorders takes no further calls."""
        for recorder in self._recorders:
            recorder.check_open()

    def settle(self, usage: Usage) -> None:
        """Count what the reserved try took."""
        reserved, self._reserved = self._reserved, []
        for recorder in reserved:
            recorder.count(usage, was_reserved=True)


@contextmanager
def reserved_call(recorders: Sequence[Recorder], key: str, model: str) -> Iterator[Call]:
    """Reserve a call; one that fails counts as a call without tokens. Recorders wait for it until it has ended.

    Raises:
        BudgetError: a budget forbids it.
        RunEndedError: the run has ended.
    """
    call = Call(recorders, key, model)
    begun: list[Recorder] = []
    token = _call.set(call)
    try:
        for recorder in recorders:
            recorder.begin()
            begun.append(recorder)
        call.reserve()
        yield call
    except BaseException:
        call.settle(Usage.of_call(model, 0, 0))
        raise
    finally:
        _call.reset(token)
        for recorder in begun:
            recorder.end()


def reserve_retry() -> None:
    """Reserve one more request for the call of this context; for engines that try again by themselves.

    Raises:
        BudgetError: the budget allows no further request.
        RunEndedError: the run has ended.
    """
    call = _call.get()
    if call is not None:
        call.retry()


def check_run_goes_on() -> None:
    """Raise `RunEndedError` where the run of this call has ended; for engines in which calls queue."""
    call = _call.get()
    if call is not None:
        call.check_open()
