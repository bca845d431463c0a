"""Answers of any model are read to the rows that they hold, and thoughts and drafts never are."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scripts import shop_task
from tables import fits, rows, schemas, strict_filter

from tagal_dspy.codecs import CsvCodec, RowCodec, make_codec, read_answer
from tagal_dspy.codecs.records import quoted, records
from tagal_dspy.schema import Row, TableSchema, TextColumn
from tagal_dspy.settings import CodecName

SCHEMA = shop_task().schema
CSV = CsvCodec(SCHEMA)
HEADER = "age,income,city,buys"
DRAFT, ANSWER = "33,20.5,Ghent,yes", "34,21.5,Mons,no"
NAMES: tuple[CodecName, ...] = ("csv", "json", "sentence")

MARKDOWN = """| age | income | city | buys |
|---|---|---|---|
| 33 | 20.5 | Ghent | yes |
"""
JSON = """```json
[{"age": 33, "income": 20.5, "city": "Ghent", "buys": "yes"}]
```"""


def read(answer: str, name: CodecName = "csv") -> list[str]:
    return [",".join(cell or "" for cell in row) for row in read_answer(make_codec(name, SCHEMA), answer).rows]


# Layouts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "answer",
    [
        MARKDOWN,
        JSON,
        DRAFT,
        "age;income;city;buys\n33;20.5;Ghent;yes",
        "33; 20.5; Ghent; yes",
        "33\t20.5\tGhent\tyes",
        "33\N{FULLWIDTH COMMA}20.5\N{FULLWIDTH COMMA}Ghent\N{FULLWIDTH COMMA}yes",
        "33\N{FULLWIDTH SEMICOLON}20.5\N{FULLWIDTH SEMICOLON}Ghent\N{FULLWIDTH SEMICOLON}yes",
        "33 | 20.5 | Ghent | yes",
        "| City | AGE | Buys | income |\n|:--|--:|---|---|\n| Ghent | 33 | yes | 20.5 |",
        "1. 33,20.5,Ghent,yes",
        "Row 1: 33,20.5,Ghent,yes",
        "- 33,20.5,Ghent,yes",
        "age,income,city,buys\n1) 33;20.5;Ghent;yes",
        '1. {"age": 33, "income": 20.5, "city": "Ghent", "buys": "yes"}',
        '{"rows": [{"buys": "yes", "city": "Ghent", "age": 33, "income": 20.5}]}',
    ],
)
def test_layout_is_read_whatever_the_codec(name: CodecName, answer: str) -> None:
    assert read(answer, name) == [DRAFT]


def test_prose_around_a_markdown_table_is_no_row() -> None:
    assert read(f"Here you are:\n\n{MARKDOWN}\nAnything else?") == [DRAFT]


def test_rows_that_fit_in_no_layout_are_rejected_as_the_codec_does() -> None:
    assert read_answer(CSV, "I cannot; really") == CSV.decode("I cannot; really")


def test_pipe_in_a_cell_of_a_markdown_table_is_escaped() -> None:
    codec = CsvCodec(TableSchema.infer(pd.DataFrame({"a": ["x|y", "z"], "b": [1, 2]})))
    assert read_answer(codec, "| a | b |\n|---|---|\n| x\\|y | 1 |").rows == (("x|y", "1"),)


@pytest.mark.parametrize("value", ["a;b", "1. low", "<think>", "</think>", "x|y", "a\tb", "- x", "[THINK]", "{x}"])
@pytest.mark.parametrize("name", NAMES)
def test_cell_that_looks_like_a_layout_stays_as_it_is(name: CodecName, value: str) -> None:
    schema = TableSchema.infer(pd.DataFrame({"a": [value, "plain"], "b": [value, "plain"], "n": [1, 2]}))
    codec = make_codec(name, schema)
    written = [(value, value, "1"), ("plain", value, "2")]
    assert read_answer(codec, codec.encode(written)) == (tuple(written), ())


def test_numbers_before_free_text_are_cut_where_they_count() -> None:
    texts = [f"some text number {number} of many" for number in range(40)]
    schema = TableSchema.infer(pd.DataFrame({"note": texts, "n": range(40)}))
    assert isinstance(schema["note"], TextColumn)
    codec = CsvCodec(schema)
    assert read_answer(codec, "1. good room,3\n2. bad room,4").rows == (("good room", "3"), ("bad room", "4"))
    assert read_answer(codec, '1. "good room",3').rows == (("good room", "3"),)
    assert read_answer(codec, '"1. good room",3\n"2. bad room",4').rows == (("1. good room", "3"), ("2. bad room", "4"))
    assert read_answer(codec, "7. good room,3").rows == (("7. good room", "3"),)


# Thoughts


@pytest.mark.parametrize("header", ["", HEADER + "\n"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "thoughts",
    [
        "<think>\n{draft}\n</think>\n",
        "<think>{draft}</think>",
        '<thinking>The 5" one:\n{draft}\n</thinking>\n\n',
        "<reasoning>\n{draft}\n</reasoning>\n",
        "[THINK]{draft}[/THINK]\n",
        "<think>\na\n</think>\n<think>\n{draft}\n</think>\n",
        "Okay, so\n{draft}\n</think>\n\n",
        "Okay, so {draft}</think>\n\n",
        "Thinking: people are old.\n{draft}\n\n",
        "**Reasoning:** people are old.\n{draft}\n\n",
    ],
)
def test_rows_in_thoughts_are_never_rows(thoughts: str, name: CodecName, header: str) -> None:
    assert read(thoughts.format(draft=header + DRAFT) + header + ANSWER, name) == [ANSWER]
    assert read(f"{thoughts.format(draft=header + DRAFT)}```\n{header}{ANSWER}\n```", name) == [ANSWER]


@pytest.mark.parametrize("thoughts", ["<think>\n", "<think>\n" + HEADER + "\n", "[THINK] well\n"])
def test_thoughts_that_never_end_are_one_unparsable_answer(thoughts: str) -> None:
    decoded = read_answer(CSV, thoughts + DRAFT)
    assert decoded.rows == ()
    assert [(each.reason, each.detail) for each in decoded.rejects] == [
        ("unparsable", "thoughts without rows after them")
    ]


def test_rows_before_and_after_thoughts_are_rows() -> None:
    assert read(f"{DRAFT}\n<think>\nhm\n</think>\n{ANSWER}") == [DRAFT, ANSWER]


def test_thoughts_go_and_cells_that_look_like_their_tags_stay() -> None:
    codec = CsvCodec(TableSchema.infer(pd.DataFrame({"tag": ["<think>", "</think>"], "n": [1, 2]})))
    written = codec.encode([("<think>", "1"), ("</think>", "2")])
    assert read_answer(codec, f"<think>\n<think>,2\n</think>\n{written}") == codec.decode(written)


def test_label_of_thoughts_that_is_a_category_begins_a_row() -> None:
    codec = CsvCodec(TableSchema.infer(pd.DataFrame({"a": ["Thinking: fast", "slow"], "n": [1, 2]})))
    assert len(read_answer(codec, "Thinking: fast,1\n\nslow,2\nsorry").rows) == 2


def test_last_block_with_a_header_counts_where_prose_stands_between() -> None:
    assert read(f"Let me see.\n{HEADER}\n{DRAFT}\nNot bad.\nNow:\n{HEADER}\n{ANSWER}\n") == [ANSWER]
    assert read(f"Let me see.\n{DRAFT}\nNot bad.\n{HEADER}\n{ANSWER}\n") == [ANSWER]
    assert read(f"```\n{HEADER}\n{DRAFT}\n```\nBetter:\n```\n{HEADER}\n{ANSWER}\n```") == [ANSWER]


def test_last_header_without_rows_begins_no_block() -> None:
    assert read(f"{HEADER}\n{DRAFT}\nAnd so on.\n{HEADER}\n")[0] == DRAFT


def test_first_of_several_fences_counts_where_none_has_a_header() -> None:
    assert read(f"```\n{DRAFT}\n```\nas in\n```\n{ANSWER}\n```") == [DRAFT]


# Any table


def markdown(schema: TableSchema, written: list[Row]) -> str:
    table = [schema.names, ["---"] * len(schema.names), *written]
    lines = [
        [(quoted(cell) if '"' in (cell or "") else cell or "").replace("|", "\\|") for cell in row] for row in table
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def in_lines(cells: Row) -> bool:
    """Whether the cells could stand in a Markdown table as they are."""
    return not any(mark in str(cell) for cell in cells for mark in ("\r", "\n", "`", "--"))


def numbered(codec: RowCodec, text: str) -> str:
    header = codec.encode([])
    lines = [raw for raw, _ in records(text.removeprefix(header))]
    return header + "".join(f"{number}. {line}\n" for number, line in enumerate(lines, 1))


def canonical(schema: TableSchema, found: tuple[Row, ...]) -> list[Row]:
    return strict_filter(schema).fitting(found)[0]


@given(st.data())
def test_answer_of_the_codec_is_read_as_the_codec_reads_it(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    codec = make_codec(data.draw(st.sampled_from(NAMES)), schema)
    text = codec.encode(data.draw(rows(schema)))
    assert read_answer(codec, text) == codec.decode(text)


@given(st.data())
def test_thoughts_and_fences_change_no_row_of_any_table(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    codec = make_codec(data.draw(st.sampled_from(NAMES)), schema)
    written, drafts = data.draw(rows(schema)), data.draw(rows(schema))
    assume(written)
    text, draft = codec.encode(written), codec.encode(drafts)
    decorate: Callable[[str], str] = data.draw(
        st.sampled_from(
            [
                lambda text: f"<think>\n{draft}\n</think>\n{text}",
                lambda text: f"<think>\n{draft}</think>\n```\n{text}```\n",
                lambda text: f"<reasoning>{draft}</reasoning>\n\n{text}",
                lambda text: f"{draft}\n</think>\n{text}",
            ]
        )
    )
    assert read_answer(codec, decorate(text)) == (tuple(written), ())


@given(st.data())
def test_numbers_before_records_change_no_row_of_any_table(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    codec = CsvCodec(schema)
    written = [row for row in data.draw(rows(schema)) if row[0] is not None]
    text = numbered(codec, codec.encode(written))
    # Where categories or missing values begin like numbers, the codec's own reading counts.
    assume(written and not canonical(schema, codec.decode(text).rows))
    assert canonical(schema, read_answer(codec, text).rows) == canonical(schema, tuple(written))


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.data())
def test_markdown_table_holds_the_rows_of_any_table_that_fit_in_lines(data: st.DataObject) -> None:
    schema = data.draw(schemas().filter(lambda schema: len(schema.names) > 1 and in_lines(schema.names)))
    written = [row for row in data.draw(rows(schema)) if in_lines(row)]
    text = markdown(schema, written)
    codec = make_codec(data.draw(st.sampled_from(NAMES)), schema)
    assume(written and not canonical(schema, codec.decode(text).rows))
    assert canonical(schema, read_answer(codec, text).rows) == canonical(schema, tuple(written))


@given(st.data())
def test_any_text_is_read_without_an_error_and_what_is_accepted_fits(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    codec = make_codec(data.draw(st.sampled_from(NAMES)), schema)
    honest = codec.encode(data.draw(rows(schema)))
    shreds = [
        *honest.split(","),
        *schema.names,
        "\n",
        '"',
        "{",
        "|",
        ";",
        "1. ",
        "```",
        "<think>",
        "</think>",
        "Thinking:",
    ]
    read = read_answer(codec, data.draw(st.lists(st.sampled_from(shreds)).map("".join)))
    accepted, _ = strict_filter(schema).fitting(read.rows)
    assert all(fits(column, cell) for row in accepted for column, cell in zip(schema.modelled, row, strict=True))


SNIPPETS = [
    "|",
    '"',
    "1. ",
    "<think>\n",
    "</think>\n",
    "```\n",
    '"a|;',
    '"";',
    "-",
    " ",
    "{",
    "Thinking: x\n\n",
    f"{HEADER}\n",
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_time_for_a_long_answer_grows_with_its_length_alone(snippet: str) -> None:
    def seconds(length: int) -> float:
        text = snippet * (length // len(snippet)) + "x"
        started = time.process_time()
        read_answer(CSV, text)
        return time.process_time() - started

    assert seconds(160_000) < 1 + 20 * seconds(20_000)


def test_mess_of_all_marks_is_read_in_bounded_time() -> None:
    rng = random.Random(0)
    marks = ['"', "|", ";", "\n", "<think>", "</think>", "```", ",", "1. ", "{", "age", "\\"]
    started = time.process_time()
    read_answer(CSV, "".join(rng.choice(marks) for _ in range(100_000)))
    assert time.process_time() - started < 10
