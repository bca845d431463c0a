"""The record of a run: one SQLite file with settings, turns, accepted rows and rejects."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tagal_dspy.errors import DataError, OutputError
from tagal_dspy.schema import Reject, TableSchema
from tagal_dspy.settings import RunSettings

_TABLES = """
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE accepted (number INTEGER PRIMARY KEY, cells TEXT NOT NULL);
CREATE TABLE rejects (number INTEGER PRIMARY KEY, reason TEXT NOT NULL, row TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE turns (
    number INTEGER PRIMARY KEY, round INTEGER NOT NULL, iteration INTEGER NOT NULL,
    label TEXT, answer TEXT NOT NULL, critique TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class RunRecord:
    """A run as it was recorded."""

    task_id: str
    seed: int
    settings: RunSettings
    schema: TableSchema
    usage: dict[str, dict[str, int]]
    table: pd.DataFrame
    rejects: tuple[Reject, ...]
    turns: tuple[dict[str, Any], ...]


def save_run(
    path: Path, *, task_id: str, seed: int, settings: RunSettings, schema: TableSchema, prediction: Any
) -> None:
    """Record what a program returned.

    Args:
        path: the file to write; it must not exist.
        task_id, schema: of the task the rows were written for; its real rows are not recorded.
        seed, settings: of the run.
        prediction: what the program returned, or what `NotEnoughRowsError` carries.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    if path.exists():
        raise OutputError(f"{path} exists; a run is recorded once")
    header = {
        "task_id": task_id,
        "seed": seed,
        "settings": settings.model_dump(),
        "schema": schema.to_dict(),
        "usage": prediction.usage,
    }
    try:
        with closing(sqlite3.connect(path)) as database, database:
            database.executescript(_TABLES)
            database.executemany("INSERT INTO run VALUES (?, ?)", [(k, json.dumps(v)) for k, v in header.items()])
            cells = [json.dumps(row, ensure_ascii=False) for row in schema.to_rows(prediction.table)]
            database.executemany("INSERT INTO accepted (cells) VALUES (?)", [(each,) for each in cells])
            database.executemany("INSERT INTO rejects (reason, row, detail) VALUES (?, ?, ?)", prediction.rejects)
            database.executemany(
                "INSERT INTO turns (round, iteration, label, answer, critique) VALUES (?, ?, ?, ?, ?)",
                _turn_values(prediction.turns),
            )
    except sqlite3.Error as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


def load_run(path: Path) -> RunRecord:
    """Read a recorded run; raises `DataError` where the file is none."""
    if not path.is_file():
        raise DataError(f"there is no run {path}")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            header = {name: json.loads(value) for name, value in database.execute("SELECT name, value FROM run")}
            rows = [
                tuple(json.loads(cells)) for (cells,) in database.execute("SELECT cells FROM accepted ORDER BY number")
            ]
            rejects = tuple(Reject(*each) for each in database.execute("SELECT reason, row, detail FROM rejects"))
            names = ("round", "iteration", "label", "answer", "critique")
            turns = tuple(
                dict(zip(names, each, strict=True))
                for each in database.execute(f"SELECT {', '.join(names)} FROM turns ORDER BY number")
            )
    except sqlite3.Error as error:
        raise DataError(f"{path} is no recorded run: {error}") from error
    schema = TableSchema.from_dict(header["schema"])
    return RunRecord(
        task_id=header["task_id"],
        seed=header["seed"],
        settings=RunSettings.model_validate(header["settings"]),
        schema=schema,
        usage=header["usage"],
        table=schema.to_frame(rows),
        rejects=rejects,
        turns=turns,
    )


def _turn_values(turns: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [(turn.round, turn.iteration, str(turn.slot), turn.answer.text, turn.critique) for turn in turns]
