"""How rounds are driven: the same steps for threads and asyncio, many at once, committed in order.

A round is written once, as a generator that yields the LM calls it needs (`Call`) and is sent their results.
`run_rounds` and `arun_rounds` keep several rounds going and commit them strictly in order. When a round starts is
decided by what was committed before, never by which answer came first: the outcome is the same at any concurrency.
What is under way when no further round is wanted asks nothing more, and is not committed.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import dspy

from tagal_dspy.modules.ledger import Call, Ledger

Result = TypeVar("Result")


Steps = Generator[Call, dspy.Prediction, Result]


class Rounds(Protocol):
    """What is run round by round."""

    ahead: int
    """How many rounds may be under way at once; part of what determines the outcome."""

    ledger: Ledger
    """Makes the calls."""

    def start(self) -> Steps[Any] | None:
        """The steps of the next round; None while no further one is wanted."""
        ...

    def commit(self, result: Any) -> None:
        """Take over the result of the oldest round under way."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether nothing that is under way is of use any more."""
        ...


def run_steps(steps: Steps[Result], perform: Callable[[Call], dspy.Prediction]) -> Result:
    """Run one round, waiting for each call."""
    try:
        call = next(steps)
        while True:
            call = steps.send(perform(call))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def arun_steps(steps: Steps[Result], perform: Callable[[Call], Awaitable[dspy.Prediction]]) -> Result:
    """Run one round, awaiting each call."""
    try:
        call = next(steps)
        while True:
            call = steps.send(await perform(call))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def run_rounds(rounds: Rounds) -> None:
    """Run rounds on threads until no further one is wanted; calls that are paid for are waited for, and recorded."""
    under_way: deque[Any] = deque()
    threads = ThreadPoolExecutor(max_workers=rounds.ahead, thread_name_prefix="tagal-round")
    is_over = False

    def perform(call: Call) -> dspy.Prediction:
        if is_over or rounds.is_complete:
            raise CancelledError
        return rounds.ledger.perform(call)

    def launch(steps: Steps[Any]) -> Any:
        return threads.submit(contextvars.copy_context().run, run_steps, steps, perform)

    try:
        while not rounds.is_complete and _start(rounds, under_way, launch):
            rounds.commit(under_way.popleft().result())
    finally:
        is_over = True
        threads.shutdown(wait=rounds.is_complete, cancel_futures=True)


async def arun_rounds(rounds: Rounds) -> None:
    """Run rounds as tasks until no further one is wanted; calls that are paid for are awaited, and recorded."""
    under_way: deque[asyncio.Task[Any]] = deque()
    is_over = False

    async def perform(call: Call) -> dspy.Prediction:
        if is_over or rounds.is_complete:
            raise CancelledError
        return await rounds.ledger.aperform(call)

    try:
        while not rounds.is_complete and _start(
            rounds, under_way, lambda steps: asyncio.create_task(arun_steps(steps, perform))
        ):
            rounds.commit(await under_way.popleft())
    finally:
        is_over = True
        for task in under_way if not rounds.is_complete else ():
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def _start(rounds: Rounds, under_way: deque[Any], launch: Any) -> bool:
    """Start as many rounds as may be under way; whether any is."""
    while len(under_way) < rounds.ahead and (steps := rounds.start()) is not None:
        under_way.append(launch(steps))
    return bool(under_way)
