"""CSV and TSV files as they are written: how cells are parted, in which encoding, and which columns are numbers.

A column gets a dtype of numbers or of truth values only where pandas writes the same cells again. All other columns
stay text, for the schema to tell what is in it.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from tagal_dspy.characters import lines_by_phrase
from tagal_dspy.errors import DataError
from tagal_dspy.schema import ColumnOverride, SchemaOverrides
from tagal_dspy.schema.columns.number_formats import NumberFormat
from tagal_dspy.schema.kinds import reading_of

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

FEW_DISTINCT = 20
"""Numbers in several forms are codes, unless more of them than this differ."""

_SAMPLE = 100_000
"""Characters, and the rest of their line, that are looked at to find the separator."""

_SAMPLE_RECORDS = 100
_MOST_EXACT = 15
"""Digits that a float keeps of any number."""

_WHOLE = r"^(?:0|-?[1-9]\d*)$"
_SHORTEST = r"^-?(?:0|[1-9]\d*)\.(?:\d*[1-9]|0)$"
_FLOAT = r"^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?$"
_MINUS_ZERO = r"^\D*-\D*0(?:[.,]0*)?\D*$"


class Delimited(NamedTuple):
    """A table out of a file.

    Attributes:
        frame: its rows.
        columns: by name, what the file tells of a column and the frame does not: the form of its numbers, and what
            stands for a missing one.
        separator: between cells.
        notes: what was found out or left out, a line each.
    """

    frame: pd.DataFrame
    columns: dict[str, ColumnOverride]
    separator: str | None
    notes: list[str]


def read_delimited(path: Path, overrides: SchemaOverrides, usual: str) -> Delimited:
    """The table in a file.

    Args:
        path: of the file.
        overrides: what is known of it.
        usual: the separator of such files, which is taken where several fit.

    Raises:
        DataError: the file is empty, cannot be decoded, or has rows of several widths.
    """
    text, encoding = _decoded(path.read_bytes(), overrides.encoding)
    if not text.strip():
        raise DataError("it is empty; expected a line of column names and a line for each row")
    separator = parse_separator(overrides.separator) if overrides.separator else _found_separator(text, usual)
    notes = [] if encoding == "UTF-8" else [f"encoded as {encoding}"]
    if separator != usual and overrides.separator is None:
        notes.append(f"cells are separated by {SEPARATORS[separator]}")
    names, columns = _columns(text, separator)
    if names[-1] == "" and columns[-1].null_count == len(columns[-1]):
        notes.append("the separator at the end of every line is left out")
        names, columns = names[:-1], columns[:-1]
    for place in [place for place, name in enumerate(names) if not name]:
        names[place] = f"column {place + 1}"
        notes.append(f"the column without a name is called {names[place]!r}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"it has the column names {twice} more than once; names must be unique")
    values, forms = {}, {}
    told: list[tuple[str, str]] = []
    for name, cells in zip(names, columns, strict=True):
        values[name], form = _typed(name, cells, overrides.of(name), overrides.decimal, told)
        if form is not None:
            forms[name] = form
    return Delimited(pd.DataFrame(values), forms, separator, [*notes, *lines_by_phrase(told)])


def _decoded(raw: bytes, encoding: str | None) -> tuple[str, str]:
    """The text of a file, and what its encoding is called."""
    if encoding is not None:
        return _as_text(raw, encoding), encoding
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    for mark, name in marks.items():
        if raw.startswith(mark):
            return _as_text(raw, name), name.upper().removesuffix("-SIG")
    n_zeros = raw[:_SAMPLE].count(b"\0")
    if n_zeros > len(raw[:_SAMPLE]) / 4:  # of text in Latin letters without a mark
        name = "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
        return _as_text(raw, name), "UTF-16"
    if n_zeros:
        raise DataError("it has bytes of zero, which no text has; give the encoding, or write the file anew")
    try:
        return raw.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        pass
    try:
        return raw.decode("cp1252"), "Windows-1252 (Latin-1)"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "Latin-1"


def _as_text(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except LookupError:
        raise DataError(f"the encoding {encoding!r} is unknown; give one such as utf-8 or latin-1") from None
    except UnicodeDecodeError as error:
        raise DataError(f"it is not encoded as {encoding}: {error.reason} at byte {error.start}") from error


def _found_separator(text: str, usual: str) -> str:
    """The separator with which most of the first records are as wide as the header."""
    shares = {}
    for separator in sorted(SEPARATORS, key=lambda each: each != usual):
        widths = [len(record) for record in _records(text, separator)] or [0]
        shares[separator] = sum(width == widths[0] for width in widths) / len(widths) if widths[0] > 1 else 0.0
    return max(shares, key=lambda separator: shares[separator]) if any(shares.values()) else usual


def _records(text: str, separator: str) -> list[list[str]]:
    """The first records; one that may be cut is left out. None where a cell would be longer than a file has any."""
    end = text.find("\n", _SAMPLE) + 1 or len(text)
    reader = csv.reader(io.StringIO(text[:end], newline=""), delimiter=separator)
    try:
        records = list(itertools.islice(filter(None, reader), _SAMPLE_RECORDS))
    except csv.Error:
        return []
    is_cut = end < len(text) and len(records) < _SAMPLE_RECORDS
    return records[:-1] if is_cut and len(records) > 1 else records


def _columns(text: str, separator: str) -> tuple[list[str], list[Any]]:
    """Names and cells, missing where they are blank."""
    raw = text.encode()
    records = _records(text, separator)
    if not records:
        raise DataError(f"it has a cell of over {csv.field_size_limit()} characters; give the separator that it has")
    width = len(records[0])
    names = [str(place) for place in range(width)]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(raw),
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=max(1 << 24, min(len(raw) + 1, 1 << 30))),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, ignore_empty_lines=width > 1
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        _check_widths(text, separator)
        raise DataError(str(error).partition(". ")[0]) from error
    columns = [column.combine_chunks() for column in table.columns]
    header = [str(column[0].as_py() or "").removeprefix("\ufeff") for column in columns]
    return header, [column.slice(1) for column in columns]


def _check_widths(text: str, separator: str) -> None:
    """Raise `DataError` for the first row that is wider or narrower than the header."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    width = 0
    for record in filter(None, reader):
        width = width or len(record)
        if len(record) != width:
            raise DataError(
                f"line {reader.line_num} has {len(record)} cells, and the header has {width}; mend the line, or give "
                "the separator that the file has"
            )


def _typed(
    name: str, cells: Any, known: ColumnOverride, decimal: str | None, told: list[tuple[str, str]]
) -> tuple[pd.Series[Any], ColumnOverride | None]:
    """The cells as numbers or truth values where these can be written like them, and the form to write them in."""
    texts = pd.Series(cells.to_pandas(), dtype=object, name=name)
    present = cells.drop_null()
    if known.kind not in (None, "numerical") or known.format or known.missing or not len(present):
        return texts, None
    if _all(present, _WHOLE):
        return _whole(cells), None
    distinct = pc.unique(present)
    if len(distinct) <= 2 and set(distinct.to_pylist()) <= {"True", "False"}:
        return pc.equal(cells, "True").to_pandas().astype("boolean" if cells.null_count else "bool"), None
    if _all(distinct, _FLOAT) and _is_shortest(distinct):
        return _floats(cells), None
    reading = reading_of(texts, known, decimal)
    if reading.kind == "numerical" and pc.any(pc.match_substring_regex(distinct, _MINUS_ZERO)).as_py():
        told.append((name, "zeros with a minus are written without"))
    if reading.kind == "numerical" and reading.format and NumberFormat(reading.format).is_plain:
        bare = pc.if_else(pc.is_in(cells, pa.array(reading.missing, pa.string())), None, cells)
        numbers = _floats(bare) if NumberFormat(reading.format).decimals else _whole(bare)
        return numbers, known.model_copy(update={"format": reading.format, "missing": reading.missing})
    if reading.kind != "datetime" and _all(distinct, _FLOAT) and _are_in_several_forms(distinct):
        told.append((name, "numbers in several forms are written in one, as Python writes them"))
        return _floats(cells), None
    return texts, None


def _all(cells: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())


def _floats(cells: Any) -> pd.Series[Any]:
    return pd.Series(pc.cast(cells, pa.float64()).to_numpy(zero_copy_only=False))


def _whole(cells: Any) -> pd.Series[Any]:
    for kind, nullable in ((pa.int64(), "Int64"), (pa.uint64(), "UInt64")):
        try:
            numbers = pc.cast(cells, kind)
        except pa.ArrowInvalid:
            continue
        if not numbers.null_count:
            return pd.Series(numbers.to_numpy())
        filled, missing = pc.fill_null(numbers, 0).to_numpy(), pc.is_null(numbers).to_numpy(zero_copy_only=False)
        return pd.Series(pd.arrays.IntegerArray(filled, missing), dtype=nullable)
    return pd.Series(cells.to_pandas(), dtype=object)  # longer than 64 bits


def _is_shortest(distinct: Any) -> bool:
    """Whether all numbers are written as Python writes a float."""
    if not _all(distinct, _SHORTEST):
        return all(repr(float(text)) == text for text in distinct.to_pylist())
    digits = pc.utf8_length(pc.replace_substring_regex(distinct, r"^[-0.]+|\D", ""))
    long = distinct.filter(pc.greater(digits, _MOST_EXACT)).to_pylist()
    return all(repr(float(text)) == text for text in long)


def _are_in_several_forms(distinct: Any) -> bool:
    """Whether numbers are many and none is lost where all are written alike; else they are codes, such as the versions
    1.1 and 1.10."""
    texts = distinct.to_pylist()
    if len(texts) < FEW_DISTINCT or not any("." in text for text in texts):
        return False
    numbers = np.array([float(text) for text in texts])
    return len(np.unique(numbers)) == len(texts) and bool(np.isfinite(numbers).all())


def parse_separator(text: str) -> str:
    r"""The separator that a user names; raises `DataError`.

    >>> parse_separator("tab"), parse_separator(";")
    ('\t', ';')
    """
    named = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|"}
    separator = named.get(text.lower(), text)
    if len(separator) != 1 or separator in '"\r\n':
        raise DataError(f"the separator {text!r} is not one character; give comma, semicolon, tab or such a sign")
    return separator
