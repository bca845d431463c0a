from __future__ import annotations

import pandas as pd
import pytest
from contracts import RowCodecContract

from tagal_dspy.acceptance import RowFilter
from tagal_dspy.codecs import CsvCodec
from tagal_dspy.schema import TableSchema
from tagal_dspy.task import TableTask


class TestCsvCodec(RowCodecContract):
    name = "csv"


@pytest.fixture
def codec() -> CsvCodec:
    return CsvCodec(TableSchema.infer(pd.DataFrame({"job": ["clerk, senior", "cook", "cook"], "age": [41, 30, 25]})))


def test_header_comes_first(codec: CsvCodec) -> None:
    assert codec.encode([("cook", "30")]) == "job,age\ncook,30\n"


def test_row_with_a_comma_inside_quotes_is_one_value(codec: CsvCodec) -> None:
    assert codec.decode('"clerk, senior",41\n').rows == (("clerk, senior", "41"),)


def test_blank_before_a_quote_does_not_hide_it(codec: CsvCodec) -> None:
    assert codec.decode('41, "clerk, senior"\n').rows == (("41", "clerk, senior"),)


def test_header_in_another_order_reorders_the_cells(codec: CsvCodec) -> None:
    assert codec.decode("age,job\n41,cook\n").rows == (("cook", "41"),)


def test_header_in_another_case_is_a_header(codec: CsvCodec) -> None:
    assert codec.decode("JOB, Age\ncook,41\n").rows == (("cook", "41"),)


def test_prose_above_a_header_is_no_reject(codec: CsvCodec) -> None:
    assert codec.decode("Here are two rows:\njob,age\ncook,41\n") == ((("cook", "41"),), ())


def test_rows_above_a_header_are_rows(codec: CsvCodec) -> None:
    assert codec.decode("cook,30\n\nage,job\n41,cook\n").rows == (("cook", "30"), ("cook", "41"))


def test_columns_that_differ_in_case_alone_keep_their_cells() -> None:
    codec = CsvCodec(TableSchema.infer(pd.DataFrame({"a": ["x", "y"], "A": ["u", "v"]})))
    assert codec.decode("A,a\nu,x\n").rows == (("x", "u"),)


def test_row_of_another_width_is_rejected_with_its_width(codec: CsvCodec) -> None:
    (reject,) = codec.decode("cook,41,3\n").rejects
    assert (reject.reason, reject.text, reject.detail) == ("wrong_width", "cook,41,3", "3 cells for 2 columns")


def test_unclosed_quote_costs_its_own_line_alone(codec: CsvCodec) -> None:
    decoded = codec.decode('"cook,30\ncook,41\n')
    assert decoded.rows == (("cook", "41"),)
    assert [reject.reason for reject in decoded.rejects] == ["unparsable"]


def test_inch_mark_inside_a_cell_is_text(codec: CsvCodec) -> None:
    assert codec.decode('5" pipe,41\ncook,30\n').rows == (('5" pipe', "41"), ("cook", "30"))


def test_empty_cell_is_a_missing_value(codec: CsvCodec) -> None:
    assert codec.decode("cook,\n").rows == (("cook", None),)


def test_empty_text_that_is_a_category_is_accepted_as_it() -> None:
    task = TableTask(pd.DataFrame({"a": ["", "x"] * 10, "b": range(20)}))
    codec = CsvCodec(task.schema)
    assert RowFilter(task).fitting(codec.decode(codec.encode([("", "3")])).rows) == ([("", "3")], [])


@pytest.mark.parametrize("cells", [('a, "b', " c"), ("x\ny", "v\rw"), ("x\r\ny", "```"), ("```csv", "z")])
def test_awkward_categories_survive_the_wire(cells: tuple[str, str]) -> None:
    codec = CsvCodec(TableSchema.infer(pd.DataFrame({"a": [cells[0], "plain"], "b": [cells[1], "plain"]})))
    assert codec.decode(codec.encode([cells])) == ((cells,), ())
