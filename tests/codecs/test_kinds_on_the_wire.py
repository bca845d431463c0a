"""How dates and free text stand on the wire, and that grammars write no date that does not exist."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pytest
from gbnf import Grammar
from hypothesis import given
from hypothesis import strategies as st
from tables import moments

from tagal_dspy.codecs import CsvCodec, JsonCodec, SentenceCodec, make_codec
from tagal_dspy.gbnf import free_text
from tagal_dspy.schema import DatetimeColumn, Row, TableSchema
from tagal_dspy.schema.columns.datetimes import moment_rule
from tagal_dspy.settings import CodecName

CODECS: tuple[CodecName, ...] = ("csv", "json", "sentence")


def between(low: str, high: str, format: str) -> DatetimeColumn:
    return DatetimeColumn(name="x", dtype="object", format=format, minimum=low, maximum=high)


@pytest.mark.parametrize(
    ("low", "high", "format", "step"),
    [
        ("2024-02-27", "2024-03-02", "%Y-%m-%d", timedelta(days=1)),
        ("2023-02-27", "2023-03-02", "%Y-%m-%d", timedelta(days=1)),
        ("28.12.1899", "05.03.1904", "%d.%m.%Y", timedelta(days=1)),
        ("11/30/1999", "02/29/2000", "%m/%d/%Y", timedelta(days=1)),
        ("1987/06/05", "1987/06/05", "%Y/%m/%d", timedelta(days=1)),
        ("2024-02-28T22:58", "2024-03-01T01:02", "%Y-%m-%dT%H:%M", timedelta(minutes=1)),
        ("09:59", "17:01", "%H:%M", timedelta(minutes=1)),
        ("00:00:00", "23:59:59", "%H:%M:%S", timedelta(seconds=1)),
    ],
)
def test_exactly_the_moments_of_a_range_are_derived_each_in_one_way(
    low: str, high: str, format: str, step: timedelta
) -> None:
    column = between(low, high, format)
    first, last = column.range
    wanted = [column.moments.write(first + step * i) for i in range((last - first) // step + 1)]
    assert sorted(Grammar(f"root ::= {moment_rule(column)}").language()) == sorted(wanted)


@given(moments(), st.data())
def test_moment_is_derived_if_and_only_if_it_lies_in_the_range(column: DatetimeColumn, data: st.DataObject) -> None:
    first, last = column.range
    near = st.sampled_from([first, last]).flatmap(
        lambda bound: st.integers(-3, 3).map(lambda days: bound + timedelta(days) if bound.year > 1 else bound)
    )
    anywhere = st.datetimes(datetime(1000, 1, 1), datetime(9998, 12, 31))
    drawn = data.draw(anywhere if last.year > 9990 else near | anywhere)
    text = column.moments.write(drawn)
    fits = first <= column.moments.read(text) <= last
    assert Grammar(f"root ::= {moment_rule(column)}").matches(text) == fits


def test_grammar_of_a_century_stays_small() -> None:
    assert len(moment_rule(between("1924-03-05 10:11:12", "2024-10-09 08:07:06", "%Y-%m-%d %H:%M:%S"))) < 6000


def test_texts_of_up_to_the_length_are_derived_without_a_blank_in_front() -> None:
    rule = free_text(3, False, {'"': '""'})
    grammar = Grammar(f"root ::= {rule}")
    fitting = ["a", "a b", '""', '"a"'.replace('"', '""'), "é東🙂"]
    assert [grammar.matches(text) for text in fitting] == [True] * 5
    unfit = ["", " a", "abcd", "a\nb", "a\x00b", "\xa0a", '"']
    assert [grammar.matches(text) for text in unfit] == [False] * 7


def notes() -> TableSchema:
    texts = [f"{number}: good, fast" for number in range(20)]
    days = pd.date_range("2024-01-01", periods=20)
    return TableSchema.infer(pd.DataFrame({"day": days, "note": [*texts[:-1], None], "id": range(20)}))


ROWS: list[Row] = [("2024-01-02", 'so-called "new"'), ("2024-01-03", "plain"), ("2024-01-04", None)]


def test_csv_quotes_every_text() -> None:
    assert CsvCodec(notes()).encode(ROWS) == (
        'day,note\n2024-01-02,"so-called ""new"""\n2024-01-03,"plain"\n2024-01-04,\n'
    )


def test_json_writes_dates_and_texts_as_strings() -> None:
    assert JsonCodec(notes()).encode(ROWS[:1]) == '{"day": "2024-01-02", "note": "so-called \\"new\\""}\n'


def test_sentence_quotes_every_text_and_says_nothing_for_a_missing_one() -> None:
    assert SentenceCodec(notes()).encode(ROWS) == (
        'day is 2024-01-02, "note is so-called ""new"""\n'
        'day is 2024-01-03, "note is plain"\n'
        "day is 2024-01-04, note is \n"
    )


def test_text_that_says_missing_is_no_missing_value() -> None:
    codec = SentenceCodec(notes())
    assert codec.decode(codec.encode([("2024-01-02", "missing"), ("2024-01-03", None)])).rows == (
        ("2024-01-02", "missing"),
        ("2024-01-03", None),
    )


def test_blank_that_ends_a_sentence_may_be_lost() -> None:
    assert SentenceCodec(notes()).decode("day is 2024-01-04, note is").rows == (("2024-01-04", None),)


@pytest.mark.parametrize("name", CODECS)
def test_text_of_many_lines_is_one_cell(name: CodecName) -> None:
    texts = ["\n".join([f"line {number}"] * 60) for number in range(20)]
    schema = TableSchema.infer(pd.DataFrame({"note": texts, "x": range(20)}))
    codec = make_codec(name, schema)
    rows = [(text, "3") for text in texts]
    assert codec.decode(codec.encode(rows)).rows == tuple(rows)


@pytest.mark.parametrize("name", CODECS)
def test_code_fence_inside_a_text_ends_nothing(name: CodecName) -> None:
    texts = [f"see {number}:\n```python\nprint({number})\n```\nthat is all" for number in range(20)]
    codec = make_codec(name, TableSchema.infer(pd.DataFrame({"note": texts, "x": range(20)})))
    rows = [(text, "3") for text in texts]
    encoded = codec.encode(rows)
    assert codec.decode(encoded).rows == tuple(rows)
    assert codec.decode(f"Here you are:\n```{name}\n{encoded}```\nDone.") == (tuple(rows), ())


@pytest.mark.parametrize("name", CODECS)
def test_ids_are_not_on_the_wire(name: CodecName) -> None:
    assert make_codec(name, notes()).wire_names == ("day", "note")
