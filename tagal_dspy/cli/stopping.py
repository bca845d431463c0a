"""How a command is stopped: by Ctrl-C, or by the system (SIGTERM, SIGHUP); a second signal ends it at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeGuard

from tagal_dspy.background import GRACE_SECONDS

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class StoppedError(KeyboardInterrupt):
    """The first signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def signals_handled() -> Iterator[None]:
    """Have the first signal interrupt what is done, and the second one end the process. Ignored ones stay ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    is_stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopped
        if is_stopped:
            leave(128 + number)
        is_stopped = True
        name = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        sys.stderr.write(
            f"\ntagal: {name}; calls under way are recorded, for up to {GRACE_SECONDS:.0f} s "
            "(stop again to leave at once)\n"
        )
        raise StoppedError(number)

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(stop: BaseException) -> int:
    """What a shell expects of a command that a signal ended."""
    return 128 + (stop.number if isinstance(stop, StoppedError) else signal.SIGINT)


def is_of_signal(code: object) -> TypeGuard[int]:
    """Whether an exit code says that a signal ended a command."""
    return code in [128 + number for number in SIGNALS]


def leave(code: int) -> NoReturn:
    """End at once: Python would wait for every call under way, and a server may take minutes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
