"""The record of a run: one SQLite file with its settings, every call and what came of it.

A run is resumed by making it again: calls that are recorded are answered from the record, so that the table comes out
the same and nothing is paid twice. Every call is on the disk before anything is made of it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from tagal_dspy.errors import OutputError, RunError
from tagal_dspy.recording.record import MARK, VERSION, check_version, delete_files, run_name
from tagal_dspy.recording.usage import RecordedAnswer, Usage
from tagal_dspy.schema import Reject, Row

Result = TypeVar("Result")

MAX_SHOWN = 60
"""Characters of a value that an error shows."""

_TABLES = f"""
PRAGMA application_id = {MARK};
PRAGMA user_version = {VERSION};
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, place TEXT NOT NULL, answer TEXT NOT NULL, finish_reason TEXT NOT NULL, usage TEXT NOT NULL,
    cost REAL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS accepted (number INTEGER PRIMARY KEY, cells TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS not_selected (number INTEGER PRIMARY KEY, cells TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rejects (
    number INTEGER PRIMARY KEY, reason TEXT NOT NULL, text TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS turns (
    number INTEGER PRIMARY KEY, round INTEGER NOT NULL, iteration INTEGER NOT NULL, slot TEXT NOT NULL,
    answer TEXT NOT NULL, critique TEXT NOT NULL, score REAL
);
"""

_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
"""


class RunStore:
    """A run that is being recorded; a second process that opens it is refused.

    Args:
        path: the file; made where it does not exist.

    Raises:
        RunError: another process is writing to it, or the file does not hold a run.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._using = threading.Lock()
        self._written = [0, 0, 0]
        self._was_finished = False
        self._at_begin: dict[str, Any] = {}
        if not path.parent.is_dir():
            raise OutputError(f"{run_name(path)} cannot be written: the folder {path.parent} does not exist")
        self._lock = FileLock(f"{path}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"another process is writing to the run {run_name(path)}; wait for it, or end it") from None
        except OSError as error:
            raise OutputError(f"{run_name(path)} cannot be written: {error.strerror or error}") from error
        try:
            if path.exists() and path.stat().st_size:
                check_version(path)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            # The mark is written before the journal has a file of its own, so that it is in the first bytes.
            self._do(lambda database: database.executescript(_TABLES + _PRAGMAS))
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise _unusable(path, error) from error
            raise

    def begin(self, fingerprint: Mapping[str, Any]) -> None:
        """Say what makes the run what it is; raises `RunError` where the record was made of something else."""
        now = json.loads(json.dumps(dict(fingerprint)))
        before = self.fact("fingerprint")
        if before is not None and not isinstance(before, dict):
            raise RunError(f"the record of the run {run_name(self.path)} is damaged; use a new file")
        if before is None:
            self.note("fingerprint", now)
            self.note("began", time.time())
        elif before != now:
            names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            differs = "; ".join(f"{name} was {_short(before.get(name))}, now {_short(now.get(name))}" for name in names)
            raise RunError(f"the run {run_name(self.path)} is of something else: {differs}; use a new file")
        self._was_finished = self.fact("status") == "finished"
        if not self._was_finished:
            self.note("status", "running")
        for name, value in self._at_begin.items():
            self.note(name, value)

    def note_at_begin(self, name: str, value: Any) -> None:
        """Record a fact once it is clear that the run is of the same as its record."""
        self._at_begin[name] = value

    def note(self, name: str, value: Any) -> None:
        """Record a fact about the run."""
        self._do(lambda base: base.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value))))

    def fact(self, name: str) -> Any:
        """A fact that was noted; None where it was not."""
        found = self._do(lambda base: base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone())
        return None if found is None else json.loads(found[0])

    def find(self, key: str) -> RecordedAnswer | None:
        """The answer of that call, if it is recorded; raises `RunError` where a finished run did without it."""
        asked = "SELECT answer, finish_reason, usage, cost FROM calls WHERE key = ?"
        found = self._do(lambda base: base.execute(asked, (key,)).fetchone())
        if found is None and self._was_finished:
            raise RunError(
                f"the run {run_name(self.path)} is finished, but does not hold all calls; make it anew in a new file"
            )
        if found is None:
            return None
        return RecordedAnswer(json.loads(found[0]), found[1], Usage(json.loads(found[2]), found[3]))

    def add(self, key: str, place: str, answer: RecordedAnswer) -> None:
        """Record the answer of a call, which is on the disk when this returns."""
        text, usage = json.dumps(answer.text), json.dumps(answer.usage)  # a text may be no Unicode
        values = (key, place, text, answer.finish_reason, usage, answer.usage.cost, time.time())
        self._do(lambda base: base.execute("INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?)", values))

    def commit(self, rows: Sequence[Row], rejects: Sequence[Reject], turns: Sequence[Any]) -> None:
        """Record the accepted rows, rejects and turns of a run so far; only what is new is written."""
        first = list(self._written)
        cells = [(number, json.dumps(row)) for number, row in enumerate(rows[first[0] :], first[0])]
        rejected = [(number, *each) for number, each in enumerate(rejects[first[1] :], first[1])]
        taken = [(number, *_turn(turn)) for number, turn in enumerate(turns[first[2] :], first[2])]

        def write(base: sqlite3.Connection) -> None:
            base.execute("BEGIN")
            base.executemany("INSERT OR REPLACE INTO accepted VALUES (?, ?)", cells)
            base.executemany("INSERT OR REPLACE INTO rejects VALUES (?, ?, ?, ?)", rejected)
            base.executemany("INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?)", taken)
            base.execute("COMMIT")

        self._do(write)
        self._written = [len(rows), len(rejects), len(turns)]

    def replace_rows(self, not_selected: Sequence[Row]) -> None:
        """Record accepted rows that were not selected, and have the next commit write all others again."""
        cells = [(number, json.dumps(row)) for number, row in enumerate(not_selected)]

        def write(base: sqlite3.Connection) -> None:
            base.execute("BEGIN")
            base.execute("DELETE FROM not_selected")
            base.executemany("INSERT INTO not_selected VALUES (?, ?)", cells)
            base.execute("COMMIT")

        self._do(write)
        self._written[0] = 0

    def trim(self) -> None:
        """Forget rows, rejects and turns of earlier attempts behind those of this one."""
        for name, n_written in zip(("accepted", "rejects", "turns"), self._written, strict=True):
            self._do(_trimming(name, n_written))

    @property
    def is_empty(self) -> bool:
        """Whether no call is recorded, so that there is nothing to resume."""
        return self._do(lambda base: base.execute("SELECT key FROM calls LIMIT 1").fetchone()) is None

    def remove(self) -> None:
        """Close and delete the run."""
        self.close()
        delete_files(self.path)

    def close(self) -> None:
        """Close the file and let others write to it."""
        with self._using:
            self._database.close()
        self._lock.release()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Use the database alone. No context manager made of a generator: an interrupt inside of its machinery leaves
        it suspended, with the lock held for ever."""
        with self._using:
            try:
                return work(self._database)
            except sqlite3.Error as error:
                raise _unusable(self.path, error) from error
            finally:
                if self._database.in_transaction:  # an error, or an interrupt
                    self._database.execute("ROLLBACK")


def _trimming(table: str, n_kept: int) -> Callable[[sqlite3.Connection], object]:
    return lambda base: base.execute(f"DELETE FROM {table} WHERE number >= ?", (n_kept,))


def _turn(turn: Any) -> tuple[Any, ...]:
    return turn.round, turn.iteration, str(turn.slot), turn.answer.text, turn.critique, turn.score


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _unusable(path: Path, error: sqlite3.Error) -> RunError | OutputError:
    if isinstance(error, sqlite3.OperationalError):
        return OutputError(
            f"the run {run_name(path)} cannot be written: {error}; what it holds is intact, and it can be resumed"
        )
    return RunError(f"{run_name(path)} is not a recorded run: {error}")
