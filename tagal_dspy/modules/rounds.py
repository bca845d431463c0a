"""How the rounds of a run are made: many at once, committed strictly in the order in which they were planned.

When a round is planned is decided by what was committed before, never by which answer came first: the outcome is the
same at any concurrency. A budget only decides how many of the planned rounds are begun.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from tagal_dspy.background import GRACE_SECONDS
from tagal_dspy.errors import BudgetError
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.turns import DrawRequest, Round
from tagal_dspy.recording import Promise, keeping, promised

Result = TypeVar("Result")
Write = Callable[[DrawRequest], Coroutine[Any, Any, Round]]


class Rounds:
    """Makes the rounds of one run.

    Args:
        run: what the rounds are planned by and committed to.
        name: of the run, the same each time that it is made.
    """

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._name = run, name
        self._tasks: set[asyncio.Task[Any]] = set()

    async def make(self, write: Write, n_calls: int) -> None:
        """Plan, write and commit rounds until no further one is wanted.

        Args:
            write: writes the rows of a round.
            n_calls: calls of a round at most; a round is begun where the budget pays for so many.

        Raises:
            BudgetError: the budget does not pay for a further round.
        """
        scheduler = self._run.scheduler
        planned: deque[DrawRequest] = deque()
        under_way: deque[tuple[DrawRequest, asyncio.Task[Round]]] = deque()
        problem: BudgetError | None = None
        while not scheduler.is_complete and scheduler.refused_for is None:
            while len(planned) + len(under_way) < self._run.settings.rounds_ahead and (request := scheduler.next()):
                planned.append(request)
            problem = problem or await self._begin(planned, under_way, write, n_calls)
            if not under_way:
                if problem is not None:
                    raise problem
                return
            request, task = under_way.popleft()
            await self._run.commit(request, await asyncio.shield(task))

    async def first(self, work: Callable[[], Coroutine[Any, Any, Result]], n_calls: int) -> Result:
        """The result of what comes before the rounds and takes so many calls at most."""
        promise = Promise(f"{self._name}/first/{self._run.scheduler.n_draws}", n_calls)
        await promised(promise, wait=True)
        return await self.wait_for(_kept(promise, work))

    async def wait_for(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of some work, which is not given up where the run is stopped meanwhile."""
        return await asyncio.shield(self._started(work))

    async def end(self) -> None:
        """Ask nothing more, wait for the calls under way, and take over what finished turns brought."""
        self._run.recorder.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
        # After the first draws were all refused, nothing counts that was under way: it depends on the time.
        if not self._run.scheduler.is_complete and self._run.scheduler.refused_for is None:
            for _, (request, brought) in sorted(self._run.open_rounds.items()):
                await self._run.commit(request, brought)
        await self._run.finish()

    async def _begin(
        self,
        planned: deque[DrawRequest],
        under_way: deque[tuple[DrawRequest, asyncio.Task[Round]]],
        write: Write,
        n_calls: int,
    ) -> BudgetError | None:
        """Begin as many of the planned rounds as the budget can end; returns why it cannot end the next one."""
        while planned:
            promise = Promise(f"{self._name}/{planned[0].number}", n_calls)
            try:
                if not await promised(promise, wait=not under_way):
                    return None
            except BudgetError as error:
                return error
            request = planned.popleft()
            under_way.append((request, self._started(_kept(promise, partial(write, request)))))
        return None

    def _started(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: a round that nobody waits for any more may fail


async def _kept(promise: Promise, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    with keeping(promise):
        return await work()
