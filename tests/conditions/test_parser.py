from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import AWKWARD

from tagal_dspy.conditions.parser import Comparison, Operator, Value, parse_comparisons
from tagal_dspy.errors import ConditionError

names = st.text(min_size=1, max_size=8) | st.text(AWKWARD, min_size=1, max_size=8)
numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=3)
values: st.SearchStrategy[Value] = st.none() | st.booleans() | numbers | names
signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
lists = st.sampled_from(["in", "not in"])


def comparison(column: str, operator: Operator, several: list[Value]) -> Comparison:
    return Comparison(column, operator, tuple(several), "")


WORDS = ["age", "is", "not", "missing", "in", "and", "or", "==", "<=", ">", "[", "]", ",", "'x'", "3", "`a b`", "true"]
comparisons = st.builds(comparison, names, signs, st.lists(values, min_size=1, max_size=1)) | st.builds(
    comparison, names, lists, st.lists(values, min_size=1, max_size=3)
)


def quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def value_text(value: Value, mark: str) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value, mark) if isinstance(value, str) else str(value)


def written(each: Comparison, name_mark: str, value_mark: str) -> str:
    texts = [value_text(value, value_mark) for value in each.values]
    right = f"[{', '.join(texts)}]" if "in" in each.operator else texts[0]
    return f"{quoted(each.column, name_mark)} {each.operator} {right}"


@given(st.lists(comparisons, min_size=1, max_size=4), st.sampled_from('`"'), st.sampled_from("'\""))
def test_what_is_written_is_read(parts: list[Comparison], name_mark: str, value_mark: str) -> None:
    texts = [written(each, name_mark, value_mark) for each in parts]
    found = parse_comparisons(" and ".join(texts))
    assert list(found) == parts
    assert [each.text for each in found] == texts


@given(st.text() | st.text("abc ._'\"`[](),=<>!&|+-*/0123456789\n") | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_text_is_read_or_refused_with_our_error(text: str) -> None:
    with suppress(ConditionError):
        assert parse_comparisons(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 30", ("age", ">=", (Decimal(30),))),
        ("age>=-.5e1", ("age", ">=", (Decimal(-5),))),
        ("capital.gain < 1.", ("capital.gain", "<", (Decimal(1),))),
        ("größe == 'It''s'", ("größe", "==", ("It's",))),
        ('"net income" != "a ""b"""', ("net income", "!=", ('a "b"',))),
        ("`a``b` IN ['x', 2, TRUE, Missing]", ("a`b", "in", ("x", Decimal(2), True, None))),
        ("job not in ['x']", ("job", "not in", ("x",))),
        ("job is missing", ("job", "==", (None,))),
        ("job is not missing", ("job", "!=", (None,))),
        ("is is missing", ("is", "==", (None,))),
        ("and == 'and'", ("and", "==", ("and",))),
        ("not == false", ("not", "==", (False,))),
    ],
)
def test_condition_is_read_as(text: str, expected: tuple[object, ...]) -> None:
    (found,) = parse_comparisons(text)
    assert (found.column, found.operator, found.values) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends too early: a column is expected"),
        ("age", "ends too early: ==, !=, <, <=, >, >=, `in` or `is missing` is expected"),
        ("age >= 30 and", "ends too early"),
        ("age >= 30 or age < 10", "character 11 ('or'): `or` is not supported"),
        ("age > 1 age < 3", "`and` or the end is expected"),
        ("age = 30", "write == to compare"),
        ("age <> 30", "a value is expected"),
        ("age > 1 & age < 3", "joined by `and`"),
        ("(age > 1)", "parentheses are not supported"),
        ("age + 1 > 3", "arithmetic is not supported"),
        ("education-num > 3", "stands in backticks"),
        ("job == cook", "a text stands in quotes: 'cook'"),
        ("job == 'cook", "this quote is not closed"),
        ("`job == 'cook'", "this backtick is not closed"),
        ("job == None", "a missing value is written missing"),
        ("job in []", "a value is expected"),
        ("job in ['a' 'b']", "] is expected"),
        ("job in ('a', 'b')", "a list stands in [ ]"),
        ("job is 'cook'", "`missing` is expected; other values are compared with =="),
        ("'job' == 'cook'", "a column is expected"),
        ("30 <= age", "a column is expected"),
        ("age > 30years", "cannot be read"),
        ("age > 1e9999", "cannot be read"),
        ("__import__('os').system('ls')", "calls and parentheses are not supported"),
        ("age > 1; import os", "cannot be read"),
        ("age > @limit", "cannot be read"),
        ("age.map(str) == '1'", "calls and parentheses are not supported"),
        ("lambda: 0", "cannot be read"),
        ("age > x[0]", "a value is expected"),
    ],
)
def test_what_is_not_supported_is_said(text: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_comparisons(text)
    assert message in str(caught.value)
    assert repr(text) in str(caught.value)
