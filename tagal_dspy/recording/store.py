"""The record of a run: one SQLite file with its settings, every call and what came of it.

A run is resumed by making it again: calls that are recorded are answered from the record, so that the table comes out
the same and nothing is paid twice. Every call is on the disk before anything is made of it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import pandas as pd
from filelock import FileLock, Timeout

from tagal_dspy.errors import DataError, OutputError, RunError
from tagal_dspy.recording.usage import RecordedAnswer, Usage
from tagal_dspy.schema import Reject, Row, TableSchema

Result = TypeVar("Result")

SUFFIX = ".sqlite"
MAX_SHOWN = 60
"""Characters of a value that an error shows."""

MARK = int.from_bytes(b"tagl", "big")
"""SQLite's application id of a run: no other database is written to, or removed."""

VERSION = 2
"""Of the tables below; version 1 had no mark and other calls."""

_TABLES = f"""
PRAGMA application_id = {MARK};
PRAGMA user_version = {VERSION};
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    key TEXT PRIMARY KEY, place TEXT NOT NULL, answer TEXT NOT NULL, finish_reason TEXT NOT NULL, usage TEXT NOT NULL,
    cost REAL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS accepted (number INTEGER PRIMARY KEY, cells TEXT NOT NULL);
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
        RunError: another process is writing to it, or the file is no run.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._using = threading.Lock()
        self._written = [0, 0, 0]
        self._was_finished = False
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
        if before is None:
            self.note("fingerprint", now)
            self.note("began", time.time())
        elif before != now:
            names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
            differs = "; ".join(f"{name} was {_short(before.get(name))}, now {_short(now.get(name))}" for name in names)
            raise RunError(f"the run {run_name(self.path)} is of something else: {differs}; use a new file")
        self._was_finished = self.fact("status") == "finished"
        self.note("status", "running")

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
        return None if found is None else RecordedAnswer(found[0], found[1], Usage(json.loads(found[2]), found[3]))

    def add(self, key: str, place: str, answer: RecordedAnswer) -> None:
        """Record the answer of a call, which is on the disk when this returns."""
        usage = json.dumps(answer.usage)
        values = (key, place, answer.text, answer.finish_reason, usage, answer.usage.cost, time.time())
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
        _delete(self.path)

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


def runs_dir() -> Path:
    """Where runs are recorded unless told otherwise: `$TAGAL_RUNS_DIR`, or the platform's place for data."""
    given = os.environ.get("TAGAL_RUNS_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "tagal_dspy" / "runs"


def run_name(path: Path) -> str:
    """What a run is called: its name where runs are recorded unless told otherwise, or else its file."""
    return path.stem if path.parent == runs_dir() else str(path)


def remove_run(path: Path) -> None:
    """Delete a run, also one that is damaged or of another version.

    Raises:
        DataError: there is none, or the file is not a run.
        RunError: another process is writing to it.
    """
    if not path.is_file():
        raise DataError(f"there is no run {run_name(path)}")
    if path.parent != runs_dir() and not _is_marked(path) and not _is_of_version_1(path):
        raise DataError(f"{path} is not a recorded run; it is left as it is")
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"another process is writing to the run {run_name(path)}; wait for it, or end it") from None
    _delete(path)
    lock.release()


def _delete(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def check_version(path: Path) -> None:
    """Raise `RunError` for a file that is not a run, or one of another version."""
    name = run_name(path)
    if not _is_marked(path):
        if _is_of_version_1(path):
            raise RunError(f"the run {name} was recorded by an older version of tagal-dspy; make it anew in a new file")
        raise RunError(f"{name} is not a recorded run; it is left as it is")
    version = int.from_bytes(_header(path)[60:64], "big")
    if version > VERSION:
        raise RunError(f"the run {name} was recorded by a newer version of tagal-dspy; upgrade tagal-dspy")


def _header(path: Path) -> bytes:
    """The first bytes of a file, where SQLite keeps the mark and the version of a database."""
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError as error:
        raise DataError(f"{run_name(path)} cannot be read: {error.strerror}") from error


def _is_marked(path: Path) -> bool:
    return _header(path)[68:72] == MARK.to_bytes(4, "big")


def _is_of_version_1(path: Path) -> bool:
    names = {"facts", "calls", "accepted", "rejects", "turns"}
    try:
        with closing(_opened(path)) as database:
            found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return False
    return found == names


def _opened(path: Path) -> sqlite3.Connection:
    """A database to read; its path may hold any character."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


class RunRecord(NamedTuple):
    """A run as it is recorded.

    Attributes:
        facts: what was noted: fingerprint, status, and what the command line needs to resume it.
        rows: the accepted rows, canonical.
        rejects: the others, with reasons.
        turns: round, iteration, slot, answer, critique and score of each.
        usage: calls, tokens and cost of all recorded calls.
        n_calls: recorded calls, those that a cache answered too.
    """

    facts: dict[str, Any]
    rows: tuple[Row, ...]
    rejects: tuple[Reject, ...]
    turns: tuple[dict[str, Any], ...]
    usage: Usage
    n_calls: int

    @property
    def schema(self) -> TableSchema:
        """Of the table."""
        return TableSchema.from_dict(self.facts["schema"])

    @property
    def table(self) -> pd.DataFrame:
        """The accepted rows as a frame of the table's dtypes."""
        return self.schema.to_frame(self.rows)


def load_run(path: Path) -> RunRecord:
    """Read a recorded run, also while it is going on.

    Raises:
        DataError: there is none, or its record is damaged.
        RunError: the file is not a run, or one of another version.
    """
    if not path.is_file():
        raise DataError(f"there is no run {run_name(path)}")
    check_version(path)
    try:
        with closing(_opened(path)) as database:
            facts = {name: json.loads(value) for name, value in database.execute("SELECT name, value FROM facts")}
            rows = tuple(tuple(json.loads(cells)) for (cells,) in _all(database, "accepted", "cells"))
            rejects = tuple(Reject(*each) for each in _all(database, "rejects", "reason, text, detail"))
            names = ("round", "iteration", "slot", "answer", "critique", "score")
            turns = tuple(dict(zip(names, each, strict=True)) for each in _all(database, "turns", ", ".join(names)))
            usages = [Usage(json.loads(used), cost) for used, cost in database.execute("SELECT usage, cost FROM calls")]
    except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"the record of the run {run_name(path)} is damaged: {error}") from error
    return RunRecord(facts, rows, rejects, turns, Usage.total(usages), len(usages))


def _trimming(table: str, n_kept: int) -> Callable[[sqlite3.Connection], object]:
    return lambda base: base.execute(f"DELETE FROM {table} WHERE number >= ?", (n_kept,))


def _all(database: sqlite3.Connection, table: str, columns: str) -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT {columns} FROM {table} ORDER BY number").fetchall()


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
