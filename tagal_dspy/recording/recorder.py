"""`Recorder`: records the calls of one run, replays those that are recorded, and holds the others to a budget."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import dspy

from tagal_dspy.errors import BudgetError, RunEndedError, SettingsError
from tagal_dspy.recording.budget import Account, Price, Promise
from tagal_dspy.recording.store import RunStore
from tagal_dspy.recording.usage import RecordedAnswer, Usage
from tagal_dspy.settings import Budget

Result = TypeVar("Result")

ACTIVE = "tagal_recorders"
"""Where the active recorders are in `dspy.settings`, which DSPy hands on to its own threads."""

_promise: ContextVar[Promise | None] = ContextVar("promise", default=None)


class Recorder:
    """Records, replays, counts and pays for the calls of language models while it is active.

    Hand one to `sample` or to a program; `compile_program` makes its own. Recorders nest: a call made while several are
    active is counted by each of them.

    Args:
        store: where answers are recorded, and found again when the run is made anew; None records nothing.
        budget: what all calls may take, recorded ones included.
        price: what a call costs; unknown where None.
        on_usage: called after each call, on any thread, with what all calls so far took.
        remembers: whether a draw that is asked again, such as the same table of the same program, is answered as before
            and not counted.

    >>> from tagal_dspy.recording import listening_lm
    >>> from tagal_dspy.testing import scripted_lm
    >>> import dspy
    >>> recorder = Recorder(budget=Budget(max_calls=1))
    >>> with recorder.active(), dspy.context(lm=listening_lm(scripted_lm(lambda asked: {"answer": "42"}, cache=False))):
    ...     dspy.Predict("question -> answer")(question="?").answer
    '42'
    >>> recorder.usage.calls
    1
    """

    def __init__(
        self,
        store: RunStore | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
        on_usage: Callable[[Usage], None] | None = None,
        remembers: bool = False,
    ) -> None:
        self.store = store
        self.account = Account(budget or Budget(), price or (lambda name, n_in, n_out: None))
        self.has_refused = False
        self._on_usage, self._remembers = on_usage, remembers
        self._is_closed = False
        self._lock = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._answers: dict[str, Future[RecordedAnswer]] = {}
        self._n_under_way = 0

    @property
    def usage(self) -> Usage:
        """What all calls so far took; those that a cache answered took nothing."""
        return self.account.usage

    @contextmanager
    def active(self) -> Iterator[None]:
        """Record what is called in this context, and in threads and tasks that are started with it."""
        before = active_recorders()
        with dspy.context(**{ACTIVE: (*before, self) if self not in before else before}):
            yield

    def close(self, seconds: float = 0.0) -> int:
        """Refuse further calls, wait for those under way, and return how many of them did not end in time."""
        with self._lock:
            self._is_closed = True
            self._lock.wait_for(lambda: self._n_under_way == 0, seconds)
            return self._n_under_way

    def claim(self, name: str, is_draw: bool) -> tuple[str, Future[RecordedAnswer], bool]:
        """The key and the answer of a call, and whether the caller has to make it.

        Args:
            name: of all that is asked, so that the order in which threads make calls does not matter.
            is_draw: whether the name is of one draw, which is asked once; other calls of a name are told apart by
                their order.
        """
        with self._lock:
            if not is_draw:
                self._counts[name] += 1
            key = name if is_draw else f"{name}/{self._counts[name]}"
            is_new = key not in self._answers
            return key, self._answers.setdefault(key, Future()), is_new

    def fulfil(self, key: str, answer: RecordedAnswer) -> None:
        """Give the answer of a call to whoever waits for it."""
        with self._lock:
            future = self._answers[key] if self._remembers else self._answers.pop(key)
        future.set_result(answer)

    def release(self, key: str, error: BaseException) -> None:
        """Let a call that failed be made again; whoever waits for it sees the error too."""
        with self._lock:
            future = self._answers.pop(key)
        future.set_exception(error)

    def find(self, key: str) -> RecordedAnswer | None:
        """The recorded answer of a call; None where there is none."""
        return self.store.find(key) if self.store is not None else None

    def begin(self) -> None:
        """Say that a call begins; raises `RunEndedError` where the run has ended."""
        with self._lock:
            self.check_open()
            self._n_under_way += 1

    def end(self) -> None:
        """Say that a call has ended, and is recorded where it has an answer."""
        with self._lock:
            self._n_under_way -= 1
            self._lock.notify_all()

    def reserve(self, key: str, model: str) -> None:
        """Set aside one try of a call before it queues.

        Raises:
            BudgetError: the budget is used up. This is recorded, too: made again with the same budget, the same calls
                are refused, whatever their order.
            RunEndedError: the run has ended.
        """
        self.check_open()
        self._unless_refused(key, lambda: self.account.reserve(model, current_promise()))

    def check_open(self) -> None:
        """Raise `RunEndedError` where no further call is taken."""
        if self._is_closed:
            raise RunEndedError("the run has ended; no further call is made")

    def set_aside(self, promise: Promise) -> Future[None] | None:
        """Set aside the calls of a conversation; see `Account.promise`. A refusal is recorded as that of a call is."""
        return self._unless_refused(promise.name, lambda: self.account.promise(promise))

    def count(self, usage: Usage, *, was_reserved: bool) -> None:
        """Count what a call took; a failed call counts as one call."""
        take = self.account.settle if was_reserved else self.account.add
        try:
            take(self._priced(usage))
        except SettingsError:  # the price is invalid; the call is counted all the same
            take(Usage(usage, None))
            raise
        if self._on_usage is not None:
            self._on_usage(self.usage)

    def write(self, key: str, place: str, answer: RecordedAnswer) -> None:
        """Record an answer."""
        if self.store is not None:
            self.store.add(key, place, answer._replace(usage=self._priced(answer.usage)))

    def _priced(self, usage: Usage) -> Usage:
        """A usage with what it costs by the prices of this recorder."""
        costs = [
            self.account.cost_of(model, each["prompt_tokens"], each["completion_tokens"])
            for model, each in usage.items()
        ]
        return Usage(usage, None if None in costs else sum(cost for cost in costs if cost is not None))

    def _unless_refused(self, key: str, work: Callable[[], Result]) -> Result:
        """The result of some work, unless the budget refuses it, or has refused it before."""
        budget, name = self.account.budget.model_dump(), f"refused/{key}"
        refused = self.store.fact(name) if self.store is not None and self.account.is_limited else None
        try:
            if refused is not None and refused["budget"] == budget:
                raise BudgetError(refused["problem"])
            return work()
        except BudgetError as error:
            self.has_refused = True
            if self.store is not None and refused is None:
                self.store.note(name, {"budget": budget, "problem": str(error)})
            raise


def active_recorders() -> tuple[Recorder, ...]:
    """The recorders of this context, the outermost first."""
    return dspy.settings.get(ACTIVE) or ()


def current_promise() -> Promise | None:
    """What is set aside for the conversation that this context is part of."""
    return _promise.get()


@contextmanager
def keeping(promise: Promise) -> Iterator[None]:
    """Take the calls of this context from a promise, and free what is left of it in the end."""
    token = _promise.set(promise)
    try:
        yield
    finally:
        _promise.reset(token)
        for recorder in active_recorders():
            recorder.account.keep_no_longer(promise)


async def promised(promise: Promise, *, wait: bool) -> bool:
    """Have all recorders of this context set aside what a conversation may take.

    Args:
        promise: what it may take.
        wait: whether to wait where others hold what is missing.

    Returns:
        Whether it is set aside; always, when waited for.

    Raises:
        BudgetError: there is not enough left, and nobody holds any.
    """
    recorders = [recorder for recorder in active_recorders() if recorder.account.is_limited]
    while True:
        waiting = _set_aside(recorders, promise)
        if waiting is None:
            return True
        if not wait:
            return False
        await asyncio.shield(asyncio.wrap_future(waiting))


def _set_aside(recorders: Sequence[Recorder], promise: Promise) -> Future[None] | None:
    """Set aside with all recorders or with none; the future of the one that has not enough."""
    done: list[Recorder] = []
    waiting: Future[None] | None = None
    try:
        for recorder in recorders:
            waiting = recorder.set_aside(promise)
            if waiting is not None:
                return waiting
            done.append(recorder)
        return None
    finally:
        if len(done) < len(recorders):
            for recorder in done:
                recorder.account.keep_no_longer(promise)
