"""Runs `tagal` as a user does, in a process of its own, with runs and caches in a folder of the experiment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

LONGEST = 180.0
"""Seconds after which a command counts as hanging and is killed."""
SHOWN = 200
"""Characters of a line that is recorded."""


def take_signals() -> None:
    """Let commands that are started from now on take SIGINT and SIGTERM as those of a terminal do.

    A shell starts background jobs with SIGINT ignored, and children inherit that. A signal that has a handler in this
    process is at its default in a child. A `preexec_fn` could do the same, but is not safe beside other threads.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start a command in a folder."""
    own = {
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "DSPY_CACHEDIR": str(folder / "cache" / "dspy"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tagal_dspy.cli", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={name: text for name, text in os.environ.items() if name != "TAGAL_RUNS_DIR"} | own,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command; gives its exit code, -SIGKILL where it hangs, and what it wrote on standard error."""
    try:
        _, err = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        _, err = process.communicate()
    return process.returncode, err


def run(folder: Path, *arguments: object) -> tuple[int, str]:
    """Run a command to its end; see `finish`."""
    return finish(start(folder, *arguments))


def last_line(err: str) -> str:
    """The last line of standard error, without the folder and the port of the experiment."""
    lines = [" ".join(line.split()) for line in err.splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    line = re.sub(rf"{re.escape(tempfile.gettempdir())}\S+", "...", line)
    return re.sub(r"(127\.0\.0\.1):\d+", r"\1", line)[:SHOWN]
