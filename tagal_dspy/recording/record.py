"""Recorded runs as files: where they are, what is in them, and which files are none."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from filelock import FileLock, Timeout

from tagal_dspy.errors import DataError, RunError
from tagal_dspy.recording.usage import Usage
from tagal_dspy.schema import Reject, Row, TableSchema

SUFFIX = ".sqlite"

MARK = int.from_bytes(b"tagl", "big")
"""SQLite's application id of a run: no other database is written to, or removed."""

VERSION = 3
"""Of the tables below; version 1 had no mark and other calls, version 2 no rows that were not selected."""


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
        raise DataError(f"run {run_name(path)} does not exist")
    is_ours = _is_marked(path) or _is_of_version_1(path) or (path.parent == runs_dir() and not _tables(path))
    if not is_ours:
        raise DataError(f"{path} is not a recorded run; it is left as it is")
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"another process is writing to the run {run_name(path)}; wait for it, or end it") from None
    delete_files(path)
    lock.release()


def delete_files(path: Path) -> None:
    """Delete a run and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def check_version(path: Path) -> None:
    """Raise `RunError` for a file that is not a run, or one of another version."""
    name = run_name(path)
    # The mark is looked at last: a run that is begun meanwhile has it before it has tables.
    is_old = not _is_marked(path) and _is_of_version_1(path)
    if not _is_marked(path):
        if is_old:
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
    return _tables(path) == {"facts", "calls", "accepted", "rejects", "turns"}


def _tables(path: Path) -> set[str]:
    """The tables of a database; none where the file is damaged, or of another kind."""
    try:
        with closing(_opened(path)) as database:
            return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return set()


def _opened(path: Path) -> sqlite3.Connection:
    """A database to read; its path may hold any character."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


class RunRecord(NamedTuple):
    """A run as it is recorded.

    Attributes:
        facts: what was noted: fingerprint, status, and what the command line needs to resume it.
        rows: the accepted rows, canonical.
        not_selected: rows that were accepted as well, but left out when the best were selected.
        rejects: the others, with reasons.
        turns: round, iteration, slot, answer, critique and score of each.
        usage: calls, tokens and cost of all recorded calls.
        n_calls: recorded calls, those that a cache answered too.
    """

    facts: dict[str, Any]
    rows: tuple[Row, ...]
    not_selected: tuple[Row, ...]
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
        raise DataError(f"run {run_name(path)} does not exist")
    check_version(path)
    try:
        with closing(_opened(path)) as database:
            facts = {name: json.loads(value) for name, value in database.execute("SELECT name, value FROM facts")}
            rows = _rows(database, "accepted")
            not_selected = _rows(database, "not_selected") if "not_selected" in _tables(path) else ()
            rejects = tuple(Reject(*each) for each in _all(database, "rejects", "reason, text, detail"))
            names = ("round", "iteration", "slot", "answer", "critique", "score")
            turns = tuple(dict(zip(names, each, strict=True)) for each in _all(database, "turns", ", ".join(names)))
            usages = [Usage(json.loads(used), cost) for used, cost in database.execute("SELECT usage, cost FROM calls")]
            total = Usage.total(usages)
            _ = total.calls, total.tokens
    except (sqlite3.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(f"the record of the run {run_name(path)} is damaged: {error}") from error
    return RunRecord(facts, rows, not_selected, rejects, turns, total, len(usages))


def _rows(database: sqlite3.Connection, table: str) -> tuple[Row, ...]:
    return tuple(tuple(json.loads(cells)) for (cells,) in _all(database, table, "cells"))


def _all(database: sqlite3.Connection, table: str, columns: str) -> list[tuple[Any, ...]]:
    return database.execute(f"SELECT {columns} FROM {table} ORDER BY number").fetchall()
