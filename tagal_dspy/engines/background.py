"""The event loop on which all calls to servers wait, on one thread of this process.

Threads, notebooks and programs with an event loop of their own share its connections and its view of the servers, and
what is only touched there needs no lock.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from tagal_dspy.errors import EngineError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_loop: asyncio.AbstractEventLoop | None = None
_process: int | None = None
_starting = threading.Lock()


def run(function: Callable[[Argument], Coroutine[Any, Any, Result]], argument: Argument) -> Result:
    """The result of a coroutine function, waited for on this thread; what ends the wait early cancels it."""
    future = _started(function, argument)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def arun(function: Callable[[Argument], Coroutine[Any, Any, Result]], argument: Argument) -> Result:
    """The result of a coroutine function, awaited on the caller's own loop."""
    return await asyncio.wrap_future(_started(function, argument))


def _started(function: Callable[[Argument], Coroutine[Any, Any, Result]], argument: Argument) -> Future[Result]:
    global _loop, _process
    with _starting:
        if _loop is None:
            _loop, _process = asyncio.new_event_loop(), os.getpid()
            # Nothing is lost when the process ends with it: whoever waits for an answer keeps the process alive.
            threading.Thread(target=_loop.run_forever, name="tagal-remote", daemon=True).start()
    if _process != os.getpid():
        raise EngineError(
            "this process is a fork of one that has called a model on a server, and has none of its connections; "
            "start it with multiprocessing's 'spawn' method"
        )
    return asyncio.run_coroutine_threadsafe(function(argument), _loop)
