from __future__ import annotations

import pandas as pd
import pytest
from contracts import RowCodecContract

from tagal_dspy.codecs import SentenceCodec
from tagal_dspy.schema import TableSchema


class TestSentenceCodec(RowCodecContract):
    name = "sentence"


@pytest.fixture
def codec() -> SentenceCodec:
    jobs = ["clerk, senior", "cook", None, "cook"]
    return SentenceCodec(TableSchema.infer(pd.DataFrame({"job": jobs, "age": [41, 30, 25, 26]})))


def test_row_reads_as_a_sentence(codec: SentenceCodec) -> None:
    assert codec.encode([("clerk, senior", "41")]) == '"job is clerk, senior", age is 41\n'


def test_parts_are_read_in_any_order(codec: SentenceCodec) -> None:
    assert codec.decode("age is 41, job is cook").rows == (("cook", "41"),)


def test_missing_value_is_said(codec: SentenceCodec) -> None:
    assert codec.encode([(None, "41")]) == "job is missing, age is 41\n"


def test_category_called_missing_is_not_taken_for_a_missing_value() -> None:
    codec = SentenceCodec(TableSchema.infer(pd.DataFrame({"tooth": ["missing", "there", None]})))
    assert codec.decode(codec.encode([("missing",), (None,)])).rows == (("missing",), (None,))


def test_column_whose_name_begins_with_another_name_is_told_apart() -> None:
    codec = SentenceCodec(TableSchema.infer(pd.DataFrame({"a": ["x", "y"], "a is b": ["u", "v"]})))
    assert codec.decode("a is b is u, a is x").rows == (("x", "u"),)


def test_sentence_without_a_column_is_rejected_with_its_name(codec: SentenceCodec) -> None:
    (reject,) = codec.decode("job is cook").rejects
    assert (reject.reason, reject.detail) == ("wrong_width", "1 parts; without ['age']")


def test_column_said_twice_is_rejected(codec: SentenceCodec) -> None:
    decoded = codec.decode("job is cook, job is cook, age is 41")
    assert [reject.reason for reject in decoded.rejects] == ["wrong_width"]
