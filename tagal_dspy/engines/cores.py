"""`FreeCores`: how many cores of this machine other processes leave free."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from tagal_dspy.engines.weights import INSTALL_HINT
from tagal_dspy.errors import EngineError

SHORTEST_LOOK = 0.2
"""Seconds; shorter ones tell more of the scheduler than of the machine."""


class FreeCores:
    """The cores that other processes leave free, as a mean since the last look.

    What this process computes itself counts as free. The load average is of no use here: it remembers what ended a
    minute ago.
    """

    def __init__(self) -> None:
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        self._last = self._times()

    @property
    def n_cores(self) -> int:
        """Cores that this process may use."""
        return len(self._cores) if self._cores is not None else os.cpu_count() or 1

    def count(self) -> float:
        """Free cores since the last look, in [0, n_cores]; waits until it is `SHORTEST_LOOK` seconds ago."""
        time.sleep(max(0.0, SHORTEST_LOOK - self.seconds))
        before, self._last = self._last, self._times()
        free = self._last.idle - before.idle + self._last.own - before.own
        return min(free / (self._last.clock - before.clock), float(self.n_cores))

    @property
    def seconds(self) -> float:
        """Seconds since the last look."""
        return time.monotonic() - self._last.clock

    def _times(self) -> _Times:
        try:
            import psutil
        except ImportError as error:
            raise EngineError(f"local models need psutil; {INSTALL_HINT}") from error
        per_core = psutil.cpu_times(percpu=True)
        of_cores = per_core if self._cores is None else [per_core[core] for core in self._cores]
        idle = sum(getattr(each, name, 0.0) for each in of_cores for name in ("idle", "iowait"))
        return _Times(time.monotonic(), idle, time.process_time())


class _Times(NamedTuple):
    """Seconds of the clock, idle seconds of all cores, and seconds that this process computed."""

    clock: float
    idle: float
    own: float
