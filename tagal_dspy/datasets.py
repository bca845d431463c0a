"""Tables by name or by file: CSV, TSV, Parquet, JSON Lines, and a few that come along."""

from __future__ import annotations

import csv
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from tagal_dspy.delimited import Delimited, read_delimited
from tagal_dspy.errors import DataError, OutputError
from tagal_dspy.schema import SchemaOverrides, TableSchema

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_READERS = {
    ".parquet": lambda path: pd.read_parquet(path),
    ".jsonl": lambda path: pd.read_json(path, lines=True, dtype=False, convert_dates=False),
}
_ENDINGS = (*_SEPARATORS, *_READERS)
_SKLEARN = {"iris": "load_iris", "wine": "load_wine", "breast_cancer": "load_breast_cancer"}
BUILT_IN = ("penguins", *_SKLEARN)

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")


class Dataset(NamedTuple):
    """A table with what is known of it.

    Attributes:
        name: what it is called.
        frame: its rows.
        target: the column to predict, where that is known.
        overrides: what was given, and what the file tells besides its values, such as the form of its numbers.
        notes: what was found out or left out in reading it, a line each.
    """

    name: str
    frame: pd.DataFrame
    target: str | None = None
    overrides: SchemaOverrides = SchemaOverrides()
    notes: tuple[str, ...] = ()


def load_dataset(name_or_path: str, overrides: SchemaOverrides | None = None) -> Dataset:
    """Read a table.

    Args:
        name_or_path: a built-in name (`penguins`, `iris`, `wine`, `breast_cancer`), the path of a `.csv`, `.tsv`,
            `.parquet` or `.jsonl` file, or the stem of such a file in `$TAGAL_DATA_DIR`.
        overrides: what is known of the table. The separator, the encoding and the decimal sign of a file, and the kinds
            of its columns, count before the file is read.

    Raises:
        DataError: the table does not exist or cannot be read.

    >>> load_dataset("penguins").frame.shape
    (344, 8)
    """
    overrides = overrides or SchemaOverrides()
    if name_or_path in _SKLEARN:
        return _from_sklearn(name_or_path, overrides)
    if name_or_path in BUILT_IN:
        with as_file(files("tagal_dspy").joinpath("data/penguins.csv")) as path:
            return _dataset(path, overrides, "species")
    path = Path(name_or_path)
    if path.suffix.lower() not in _ENDINGS:
        path = _in_data_dir(name_or_path) or path
    return _dataset(path, overrides)


def _dataset(path: Path, overrides: SchemaOverrides, target: str | None = None) -> Dataset:
    frame, columns, separator, notes = _read(path, overrides)
    known = {"name": overrides.name or path.stem, "target": overrides.target or target, "separator": separator}
    overrides = overrides.model_copy(update={**known, "columns": {**overrides.columns, **columns}})
    return Dataset(path.stem, frame, target, overrides, tuple(notes))


def read_table(path: Path, overrides: SchemaOverrides | None = None) -> pd.DataFrame:
    """The rows of a `.csv`, `.tsv`, `.parquet` or `.jsonl` file; raises `DataError`."""
    return _read(path, overrides or SchemaOverrides()).frame


def _read(path: Path, overrides: SchemaOverrides) -> Delimited:
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise DataError(
            f"cannot read {str(path)!r}: expected a file ending in {', '.join(_ENDINGS)}, or one of the built-in names "
            f"{', '.join(BUILT_IN)}"
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        if ending in _SEPARATORS:
            return read_delimited(path, overrides, _SEPARATORS[ending])
        return Delimited(_READERS[ending](path), {}, None, [])
    except (ValueError, OSError) as error:
        raise DataError(f"cannot read {path}: {error}") from error


def write_table(
    frame: pd.DataFrame, path: Path, schema: TableSchema | None = None, separator: str | None = None
) -> None:
    """Write a table in the format of its ending, whole or not at all; raises `OutputError`.

    Args:
        frame: the rows.
        path: ending in `.csv`, `.tsv`, `.parquet` or `.jsonl`.
        schema: of the real table; the cells of a CSV or TSV file are then in its form.
        separator: of a CSV file; a comma where None.
    """
    with replacing(path) as new:
        if path.suffix.lower() == ".parquet":
            frame.to_parquet(new, index=False)
        elif path.suffix.lower() == ".jsonl":
            frame.to_json(new, orient="records", lines=True, force_ascii=False)
        else:
            cells = schema.to_cells(frame) if schema is not None else frame
            sign = "\t" if path.suffix.lower() == ".tsv" else separator or ","
            new.write_text(csv_text(cells, sign), encoding="utf-8", newline="")


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
    found = [Path(folder) / f"{name}{suffix}" for suffix in _ENDINGS] if folder else []
    return next((path for path in found if path.is_file()), None)


def _from_sklearn(name: str, overrides: SchemaOverrides) -> Dataset:
    from sklearn import datasets

    bunch = getattr(datasets, _SKLEARN[name])(as_frame=True)
    frame = bunch.data.assign(target=[bunch.target_names[label] for label in bunch.target])
    known = {"name": overrides.name or name, "target": overrides.target or "target"}
    return Dataset(name, frame, "target", overrides.model_copy(update=known))
