"""Answers as models of any kind write them: after thoughts, as Markdown or JSON, numbered, with other separators."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from tagal_dspy.codecs.base import Decoded, RowCodec
from tagal_dspy.codecs.csv_codec import CsvCodec
from tagal_dspy.codecs.json_codec import JsonCodec
from tagal_dspy.codecs.records import QUOTE, fences, max_lines, one_line, records, unfenced, with_place
from tagal_dspy.schema import CellError, Reject, RejectReason, Row, TableSchema
from tagal_dspy.thoughts import labelled_thoughts, thought_tags, without_thoughts

MAX_JUDGED = 200
"""Rows of a reading that are looked at to tell how many of them fit."""

TOLERATED: tuple[RejectReason, ...] = ("out_of_range",)
"""Why a cell of a row may be refused that shows all the same how an answer is laid out."""

PIPE = "|"
SEPARATORS = (PIPE, ";", "\t", "\N{FULLWIDTH COMMA}", "\N{FULLWIDTH SEMICOLON}", "\N{FULLWIDTH VERTICAL LINE}")
"""What stands between cells instead of a comma."""

_NUMBER = re.compile(r"[ \t]*(?:(?:row|record|example) )?(?:[-*•]|[#(]?(\d{1,6})[.):]+)[ \t]+", re.IGNORECASE)
_OF_RULES = frozenset(" \t|:+=-")


def read_answer(codec: RowCodec, answer: str) -> Decoded:
    """The rows of an answer in the codec's format, or in another layout where more rows fit so.

    An answer in the codec's own format with nothing wrong in it is read as `codec.decode` reads it. Thoughts, and
    drafts above the last block with a header, are never rows. Never raises.
    """
    text = _after_thoughts(codec, answer)
    if answer.strip() and not text.strip():
        return Decoded((), (Reject.of("unparsable", answer, "thoughts without rows after them"),))
    thoughts, rest = labelled_thoughts(text)
    if thoughts and not _begins_a_cell(codec.schema, thoughts):
        after = _read(codec, rest)
        if after.rows:
            return after
    return _read(codec, text)


def _after_thoughts(codec: RowCodec, answer: str) -> str:
    """The answer without thoughts in tags; without the first ones alone where the tags after them are cells."""
    text = answer
    for first_alone in (True, False):
        if not _has_thoughts(codec, text):
            break
        text = without_thoughts(answer, first_alone=first_alone)
    return text


def _has_thoughts(codec: RowCodec, text: str) -> bool:
    """Whether tags of thoughts stand anywhere but in cells."""
    tags = list(thought_tags(text))
    own = codec.decode(text) if tags and codec.name != "json" else None  # its strings begin and end no line
    if own is None or not _is_sound(codec, own):
        return bool(tags)
    n_bare = sum(not in_cell for _, in_cell in with_place(tags, text))
    # Free text is written in quotes: a bare tag is none of its cells.
    places = [i for i, column in enumerate(codec.schema.modelled) if not column.is_free]
    return n_bare > sum(1 for row in own.rows for i in places for _ in thought_tags(row[i] or ""))


def _begins_a_cell(schema: TableSchema, thoughts: str) -> bool:
    """Whether the label of some thoughts begins a name or a category."""
    label = thoughts.partition(":")[0].strip().casefold() + ":"
    categories = (each for column in schema.modelled for each in column.offered)
    return any(word.strip().casefold().startswith(label) for word in (*schema.names, *categories))


def _read(codec: RowCodec, text: str) -> Decoded:
    """The rows of the last of several code fences that names all columns, or of the whole text."""
    blocks = fences(text)
    for block in reversed(blocks if len(blocks) > 1 else []):
        folded = block.casefold()
        if all(name.casefold() in folded for name in codec.schema.names):
            found = _best(codec, block)
            if found.rows:
                return found
    return _best(codec, text)


def _best(codec: RowCodec, text: str) -> Decoded:
    """The reading with most rows that fit; that of the codec where others have no more."""
    own, schema = codec.decode(text), codec.schema
    numbered, is_sure = _without_numbers(codec, text)
    if not is_sure and _is_sound(codec, own):
        return own
    found = [*([] if is_sure else [own]), *_other_readings(codec, text, numbered)]
    return max(found, key=lambda each: _quality(schema, each))


def _other_readings(codec: RowCodec, text: str, numbered: str) -> Iterator[Decoded]:
    if numbered:
        yield codec.decode(numbered)
    as_csv, n_separators = CsvCodec(codec.schema, codec.order), len(codec.wire_names) - 1
    for variant in filter(None, (text, numbered)):
        if codec.name != "csv":
            yield as_csv.decode(variant)
        for separator in SEPARATORS if n_separators else (PIPE,):
            if variant.count(separator) >= max(1, n_separators):
                yield as_csv.decode(_with_commas(codec.schema, variant, separator))
    if codec.name != "json" and "{" in text:
        yield JsonCodec(codec.schema, codec.order).decode(text)


def _is_sound(codec: RowCodec, decoded: Decoded) -> bool:
    n_rows = len(decoded.rows)
    return 0 < n_rows == _n_fitting(codec.schema, decoded.rows) and not decoded.rejects


def _quality(schema: TableSchema, found: Decoded) -> tuple[float, ...]:
    """What is compared of two readings, the greater the better."""
    rows = found.rows
    return _n_fitting(schema, rows), _n_fitting(schema, rows, ()), len(rows), -len(found.rejects)


def _n_fitting(schema: TableSchema, rows: Sequence[Row], tolerated: Sequence[RejectReason] = TOLERATED) -> float:
    """About how many rows fit the schema, but for cells refused for reasons that are tolerated."""
    judged = rows[:: 1 + len(rows) // MAX_JUDGED]
    return sum(_fits(schema, row, tolerated) for row in judged) * len(rows) / max(1, len(judged))


def _fits(schema: TableSchema, row: Row, tolerated: Sequence[RejectReason]) -> bool:
    for column, cell in zip(schema.modelled, row, strict=True):
        try:
            column.canonical(cell)
        except CellError as error:
            if error.reason not in tolerated:
                return False
    return True


def _without_numbers(codec: RowCodec, text: str) -> tuple[str, bool]:
    """The records without a number or bullet before each, "" where none has one; and whether it is surely no text.

    It is none where free text, which is written in quotes, comes first and the numbers count from 1.
    """
    raws = [raw for raw, _ in records(unfenced(text), max_lines=max_lines(codec.schema))]
    found = [_NUMBER.match(raw) for raw in raws]
    numbers = [int(match[1] or 0) for match in found if match]
    if not numbers:
        return "", False
    bare = [raw[match.end() :] if match else raw for raw, match in zip(raws, found, strict=True)]
    is_text_first = codec.schema[codec.wire_names[0]].is_free
    is_quoted = any(match and rest.startswith(QUOTE) for match, rest in zip(found, bare, strict=True))
    counts = numbers == list(range(1, len(numbers) + 1)) and (len(numbers) > 1 or is_quoted)
    return "\n".join(bare), is_text_first and counts


def _with_commas(schema: TableSchema, text: str, separator: str) -> str:
    """Records with another separator as CSV; those of a Markdown table are lines, with a rule below the header."""
    inside = unfenced(text)
    if separator != PIPE:
        raws = [raw for raw, _ in records(inside, max_lines=max_lines(schema))]
    else:
        lines = [line.strip() for line in inside.split("\n")]
        raws = [line.removeprefix(PIPE) for line in lines if line and not ("--" in line and _OF_RULES.issuperset(line))]
    return "\n".join(one_line(_cells(raw, separator)) for raw in raws)


def _cells(raw: str, separator: str) -> list[str]:
    cells = []
    for found in _cell(separator).finditer(raw):
        in_quotes, bare, after = found.groups()
        text = in_quotes[1:-1].replace(QUOTE * 2, QUOTE) if in_quotes else bare.strip()
        cells.append(text.replace(f"\\{PIPE}", PIPE) if separator == PIPE else text)
        if not after or (separator == PIPE and found.end() == len(raw)):
            break
    return cells


@lru_cache
def _cell(separator: str) -> re.Pattern[str]:
    end = re.escape(separator)
    return re.compile(rf' *(?:("(?:[^"]|"")*") *|((?:\\{end}|[^{end}])*))({end}|\Z)')
