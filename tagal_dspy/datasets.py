"""Tables by name or by file: CSV, TSV, Parquet, JSON Lines, and a few that come along."""

from __future__ import annotations

import csv
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from tagal_dspy.errors import DataError, OutputError

_READERS = {
    ".csv": lambda path: pd.read_csv(path),
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": lambda path: pd.read_parquet(path),
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype=False, convert_dates=False),
}
_SKLEARN = {"iris": "load_iris", "wine": "load_wine", "breast_cancer": "load_breast_cancer"}
BUILT_IN = ("penguins", *_SKLEARN)

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")


class Dataset(NamedTuple):
    """A table, what it is called, and the column to predict where that is known."""

    name: str
    frame: pd.DataFrame
    target: str | None = None


def load_dataset(name_or_path: str) -> Dataset:
    """Read a table.

    Args:
        name_or_path: a built-in name (`penguins`, `iris`, `wine`, `breast_cancer`), the path of a `.csv`, `.tsv`,
            `.parquet` or `.jsonl` file, or the stem of such a file in `$TAGAL_DATA_DIR`.

    Raises:
        DataError: there is no such table, or it cannot be read.

    >>> load_dataset("penguins").frame.shape
    (344, 8)
    """
    if name_or_path in BUILT_IN:
        return _penguins() if name_or_path == "penguins" else _from_sklearn(name_or_path)
    path = Path(name_or_path)
    if path.suffix.lower() not in _READERS:
        path = _in_data_dir(name_or_path) or path
    return Dataset(path.stem, read_table(path))


def read_table(path: Path) -> pd.DataFrame:
    """Read a `.csv`, `.tsv`, `.parquet` or `.jsonl` file; raises `DataError`."""
    if path.suffix.lower() not in _READERS:
        raise DataError(
            f"{str(path)!r} is no table; give a file ending in {', '.join(_READERS)}, "
            f"or one of the built-in names {', '.join(BUILT_IN)}"
        )
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        frame = _READERS[path.suffix.lower()](path)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:].upper()}: {error}") from error
    if path.suffix.lower() in (".csv", ".tsv"):
        _check_header(path, "\t" if path.suffix.lower() == ".tsv" else ",")
    return frame


def _check_header(path: Path, separator: str) -> None:
    """pandas renames a repeated column name in silence; here it is an error."""
    names = [str(name) for name in pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str).iloc[0]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has the column names {twice} more than once; names must be unique")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of its ending, cells as they are, whole or not at all; raises `OutputError`."""
    with replacing(path) as new:
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(new, index=False)
        elif path.suffix.lower() == ".jsonl":
            frame.to_json(new, orient="records", lines=True, force_ascii=False)
        else:
            text = csv_text(frame, "\t" if path.suffix.lower() == ".tsv" else ",")
            new.write_text(text, encoding="utf-8", newline="")


def csv_text(frame: pd.DataFrame, separator: str = ",") -> str:
    """The table as CSV."""
    text = frame.to_csv(index=False, sep=separator)
    # pandas leaves a carriage return without quotes, and reads it as the end of a row.
    return frame.to_csv(index=False, sep=separator, quoting=csv.QUOTE_NONNUMERIC) if "\r" in text else text


def guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text and name that a spreadsheet would run as a formula.

    Such begin with `=`, `+`, `-` or `@`, maybe behind blanks, or with a tab or an end of line. Numbers stay as they
    are; texts with an apostrophe are other texts, so guard what people open and not what programs read.

    >>> guarded(pd.DataFrame({"note": ["=cmd()", "fine"], "x": [-1, 2]})).to_dict("list")
    {'note': ["'=cmd()", 'fine'], 'x': [-1, 2]}
    """
    texts = frame.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz", "timedelta"])
    new = {str(name): texts[name].astype(object).map(_guarded) for name in texts}
    return frame.assign(**new).rename(columns=_guarded)


def _guarded(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file that takes the place of another once it is whole; raises `OutputError`."""
    new = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        new.touch(exist_ok=False)  # never through a link that somebody put there
        yield new
        new.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        new.unlink(missing_ok=True)


def _in_data_dir(name: str) -> Path | None:
    folder = os.environ.get("TAGAL_DATA_DIR")
    found = [Path(folder) / f"{name}{suffix}" for suffix in _READERS] if folder else []
    return next((path for path in found if path.is_file()), None)


def _penguins() -> Dataset:
    with files("tagal_dspy").joinpath("data/penguins.csv").open("rb") as file:
        return Dataset("penguins", pd.read_csv(file), "species")


def _from_sklearn(name: str) -> Dataset:
    from sklearn import datasets

    bunch = getattr(datasets, _SKLEARN[name])(as_frame=True)
    frame = bunch.data.assign(target=[bunch.target_names[label] for label in bunch.target])
    return Dataset(name, frame, "target")
