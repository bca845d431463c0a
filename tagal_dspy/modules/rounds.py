"""How rounds are driven: the same steps for threads and asyncio, many at once, committed in order.

A round is written once, as a generator that yields the LM calls it needs (`Call`) and is sent their results.
`run_rounds` and `arun_rounds` keep several rounds going and commit them strictly in order. When a round starts is
decided by what was committed before, never by which answer came first: the outcome is the same at any concurrency.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
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


def run_steps(steps: Steps[Result], ledger: Ledger) -> Result:
    """Run one round, waiting for each call."""
    try:
        call = next(steps)
        while True:
            call = steps.send(ledger.perform(call))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def arun_steps(steps: Steps[Result], ledger: Ledger) -> Result:
    """Run one round, awaiting each call."""
    try:
        call = next(steps)
        while True:
            call = steps.send(await ledger.aperform(call))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def run_rounds(rounds: Rounds) -> None:
    """Run rounds on threads until no further one is wanted."""
    under_way: deque[Any] = deque()
    threads = ThreadPoolExecutor(max_workers=rounds.ahead, thread_name_prefix="tagal-round")

    def launch(steps: Steps[Any]) -> Any:
        return threads.submit(contextvars.copy_context().run, run_steps, steps, rounds.ledger)

    try:
        while _start(rounds, under_way, launch):
            rounds.commit(under_way.popleft().result())
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


async def arun_rounds(rounds: Rounds) -> None:
    """Run rounds as tasks until no further one is wanted."""
    under_way: deque[asyncio.Task[Any]] = deque()
    try:
        while _start(rounds, under_way, lambda steps: asyncio.create_task(arun_steps(steps, rounds.ledger))):
            rounds.commit(await under_way.popleft())
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def _start(rounds: Rounds, under_way: deque[Any], launch: Any) -> bool:
    """Start as many rounds as may be under way; whether any is."""
    while len(under_way) < rounds.ahead and (steps := rounds.start()) is not None:
        under_way.append(launch(steps))
    return bool(under_way)
