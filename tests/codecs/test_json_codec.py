from __future__ import annotations

import pandas as pd
import pytest
from contracts import RowCodecContract

from tagal_dspy.codecs import JsonCodec
from tagal_dspy.schema import TableSchema


class TestJsonCodec(RowCodecContract):
    name = "json"


@pytest.fixture
def codec() -> JsonCodec:
    return JsonCodec(TableSchema.infer(pd.DataFrame({"job": ["clerk", "cook", "cook"], "age": [41, 30, 25]})))


def test_numbers_are_bare_and_categories_quoted(codec: JsonCodec) -> None:
    assert codec.encode([("cook", "30"), (None, None)]) == ('{"job": "cook", "age": 30}\n{"job": null, "age": null}\n')


@pytest.mark.parametrize(
    "text",
    [
        '[{"job": "cook", "age": 30}]',
        '{"rows": [{"job": "cook", "age": 30}]}',
        '{"rows": [\n  {"age": 30,\n   "job": "cook"}',
        'Row 1: {"job": "cook", "age": "30"}.',
    ],
)
def test_row_is_found_wherever_it_stands(codec: JsonCodec, text: str) -> None:
    assert codec.decode(text) == ((("cook", "30"),), ())


def test_digits_of_a_number_stay_as_written(codec: JsonCodec) -> None:
    assert codec.decode('{"job": "cook", "age": 30.10}').rows == (("cook", "30.10"),)


def test_object_with_other_keys_is_rejected_with_them(codec: JsonCodec) -> None:
    (reject,) = codec.decode('{"job": "cook", "years": 30}').rejects
    assert (reject.reason, reject.detail) == ("wrong_width", "keys ['job', 'years'] for ['age', 'job']")


def test_object_cut_off_in_the_middle_is_unparsable(codec: JsonCodec) -> None:
    (reject,) = codec.decode('{"job": "co').rejects
    assert (reject.reason, reject.text) == ("unparsable", '{"job": "co')


def test_deeply_nested_answer_is_rejected(codec: JsonCodec) -> None:
    assert codec.decode('{"a":' * 2000).rows == ()


def test_backticks_in_a_category_open_no_code_fence() -> None:
    codec = JsonCodec(TableSchema.infer(pd.DataFrame({"a": ["```x", "y"]})))
    assert codec.decode(codec.encode([("```x",), ("y",)])).rows == (("```x",), ("y",))
