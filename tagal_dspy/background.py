"""The one event loop of this process that language models are called on, on a thread of its own.

Threads, notebooks and programs with an event loop of their own share its connections and its view of the servers, and
what is only touched there needs no lock.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from tagal_dspy.errors import EngineError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

GRACE_SECONDS = 60.0
"""How long a run that is stopped waits for the calls under way, so that their answers are recorded."""

_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None
_process: int | None = None
_starting = threading.Lock()


def run_in_background(
    function: Callable[Arguments, Coroutine[Any, Any, Result]], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """The result of a coroutine function, which runs on the background loop in the caller's context.

    An interrupt cancels it and waits for it to end; a second one leaves at once.

    Raises:
        EngineError: the caller is on the background loop itself.
    """
    if threading.current_thread() is _thread:
        raise EngineError("a synchronous call from within the event loop would wait for itself; await acall instead")
    ended = threading.Event()

    async def watched() -> Result:
        try:
            return await function(*args, **kwargs)
        finally:
            ended.set()

    loop = _started()
    future = asyncio.run_coroutine_threadsafe(watched(), loop)
    try:
        return future.result()
    except BaseException:
        if not future.done():
            future.cancel()
            ended.wait(2 * GRACE_SECONDS)
        raise


async def await_in_background(
    function: Callable[Arguments, Coroutine[Any, Any, Result]], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """The result of a coroutine function, which runs on the background loop, awaited on the caller's own."""
    if threading.current_thread() is _thread:
        return await function(*args, **kwargs)
    loop = _started()
    future: Future[Result] = asyncio.run_coroutine_threadsafe(function(*args, **kwargs), loop)
    return await asyncio.wrap_future(future)


_threads = ThreadPoolExecutor(256, thread_name_prefix="tagal-waiting")
"""Apart from the loop's own few threads, which calls need to go on while these wait for them."""


async def on_thread(function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """The result of a function that may wait for calls or for a person, in the caller's context."""
    work = partial(contextvars.copy_context().run, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


def _started() -> asyncio.AbstractEventLoop:
    global _loop, _thread, _process
    with _starting:
        if _loop is None or _process != os.getpid():  # a fork has the loop, but not its thread
            _loop, _process = asyncio.new_event_loop(), os.getpid()
            # Nothing is lost when the process ends with it: whoever waits for an answer keeps the process alive.
            _thread = threading.Thread(target=_loop.run_forever, name="tagal-background", daemon=True)
            _thread.start()
        return _loop
