from __future__ import annotations

import json

import pandas as pd
import pytest
from contracts import RowCodecContract
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tables import rows, schemas

from tagal_dspy.codecs import JsonCodec
from tagal_dspy.schema import CategoricalColumn, NumericalColumn, TableSchema


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


@given(st.data())
def test_json_schema_allows_every_row_of_the_table(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    codec = JsonCodec(schema)
    canonical = data.draw(rows(schema))
    objects = [json.loads(line) for line in codec.encode(canonical).rstrip("\n").split("\n")]
    Draft202012Validator(codec.json_schema(len(canonical))).validate({"rows": objects})


@pytest.mark.parametrize(
    "answer",
    [
        {"rows": []},
        {"rows": [{"job": "cook", "age": 30}] * 2},
        {"rows": [{"job": "cook", "age": 99}]},
        {"rows": [{"job": "king", "age": 30}]},
        {"rows": [{"job": "cook", "age": 30.5}]},
        {"rows": [{"job": "cook", "age": None}]},
        {"rows": [{"job": "cook"}]},
        {"rows": [{"job": "cook", "age": 30, "sex": "F"}]},
    ],
)
def test_json_schema_forbids_what_does_not_fit(codec: JsonCodec, answer: dict[str, object]) -> None:
    assert not Draft202012Validator(codec.json_schema(1)).is_valid(answer)


def test_json_schema_of_a_narrowed_column_allows_its_value_alone(codec: JsonCodec) -> None:
    job = codec.schema["job"]
    assert isinstance(job, CategoricalColumn)
    validator = Draft202012Validator(codec.json_schema(1, {"job": job.among(("clerk",))}))
    assert [validator.is_valid({"rows": [{"job": job, "age": 30}]}) for job in ("clerk", "cook")] == [True, False]


def test_backticks_in_a_category_open_no_code_fence() -> None:
    codec = JsonCodec(TableSchema.infer(pd.DataFrame({"a": ["```x", "y"]})))
    assert codec.decode(codec.encode([("```x",), ("y",)])).rows == (("```x",), ("y",))


def test_json_schema_allows_a_bound_that_binary_fractions_miss() -> None:
    column = NumericalColumn(name="x", dtype="float64", decimals=1, minimum=0.1 + 0.2, maximum=0.7)
    schema = TableSchema(n_rows=3, columns=(column,))
    Draft202012Validator(JsonCodec(schema).json_schema(1)).validate({"rows": [{"x": 0.3}]})
