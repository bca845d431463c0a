from __future__ import annotations

import pytest
from gbnf import Grammar
from hypothesis import given
from hypothesis import strategies as st
from tables import numerical, significant

from tagal_dspy.gbnf import literal, numbers_between, one_of
from tagal_dspy.schema import NumericalColumn


def column(low: float, high: float, decimals: int = 0) -> NumericalColumn:
    return NumericalColumn(name="x", dtype="float64", decimals=decimals, minimum=low, maximum=high)


def number(numbers: NumericalColumn) -> str:
    low, high = (numbers.text(bound) for bound in (numbers.minimum, numbers.maximum))
    return numbers_between(low, high, numbers.decimals, numbers.digits)


def derived(numbers: NumericalColumn) -> list[str]:
    return list(Grammar(f"root ::= {number(numbers)}").language())


@pytest.mark.parametrize(
    ("low", "high", "decimals"),
    [
        (0, 0, 0),
        (7, 7, 0),
        (0, 9, 0),
        (1, 10, 0),
        (9, 11, 0),
        (17, 90, 0),
        (95, 1005, 0),
        (999, 1000, 0),
        (-1, 1, 0),
        (-12, -3, 0),
        (-100, -99, 0),
        (-10, 0, 0),
        (-105, 1001, 0),
        (0, 1, 1),
        (0, 0.05, 2),
        (0.95, 10.05, 2),
        (-0.3, 0.3, 1),
        (-1.05, -0.95, 2),
        (-0.01, 0, 2),
        (9.99, 10.01, 2),
        (99.9, 100.1, 1),
        (0.0001, 0.0101, 4),
    ],
)
def test_exactly_the_numbers_of_a_range_are_derived_each_in_one_way(low: float, high: float, decimals: int) -> None:
    numbers = column(low, high, decimals)
    scale = 10**decimals
    wanted = [numbers.text(whole / scale) for whole in range(round(low * scale), round(high * scale) + 1)]
    assert sorted(derived(numbers)) == sorted(wanted)


@given(st.integers(-300, 300), st.integers(0, 300), st.integers(0, 3))
def test_every_small_range_is_derived_completely(low: int, width: int, decimals: int) -> None:
    scale = 10**decimals
    numbers = column(low / scale, (low + width) / scale, decimals)
    assert sorted(derived(numbers)) == sorted(numbers.text(whole / scale) for whole in range(low, low + width + 1))


@given(numerical(reach=10**12), st.data())
def test_number_is_derived_if_and_only_if_it_lies_in_the_range(numbers: NumericalColumn, data: st.DataObject) -> None:
    scale = 10**numbers.decimals
    low, high = round(numbers.minimum * scale), round(numbers.maximum * scale)
    near = st.sampled_from([low, high]).flatmap(lambda bound: st.integers(bound - 2, bound + 2))
    whole = data.draw(near | st.integers(2 * low - high - 1, 2 * high - low + 1))
    grammar = Grammar(f"root ::= {number(numbers)}")
    assert grammar.matches(numbers.text(whole / scale)) == (low <= whole <= high)


@given(numerical(reach=10**12), st.data())
def test_derived_number_is_its_own_canonical_text(numbers: NumericalColumn, data: st.DataObject) -> None:
    text = Grammar(f"root ::= {number(numbers)}").derive(lambda n: data.draw(st.integers(0, n - 1)))
    assert numbers.canonical(text) == text


@given(significant(), st.data())
def test_number_of_significant_digits_is_derived_where_it_lies_in_the_range(
    numbers: NumericalColumn, data: st.DataObject
) -> None:
    grammar = Grammar(f"root ::= {number(numbers)}")
    text = grammar.derive(lambda n: data.draw(st.integers(0, n - 1)))
    assert numbers.canonical(text) == text
    drawn = data.draw(st.floats(numbers.minimum, numbers.maximum, allow_subnormal=False))
    assert grammar.matches(numbers.text(drawn))


@pytest.mark.parametrize(("low", "high", "decimals"), [(0, 0.15, 1), (0.35, 1, 1), (2.5, 4.5, 0), (-0.25, 0.25, 1)])
def test_bounds_between_two_numbers_are_rounded_as_the_filter_rounds_them(
    low: float, high: float, decimals: int
) -> None:
    numbers = column(low, high, decimals)
    assert [numbers.canonical(text) for text in derived(numbers)] == derived(numbers)


@pytest.mark.parametrize(
    "text", ['say "hi"', "back\\slash", "line\nfeed", "carriage\rreturn", "tab\t", "東京", "[a-z]"]
)
def test_literal_derives_its_text(text: str) -> None:
    assert list(Grammar(f"root ::= {literal(text)}").language()) == [text]


def test_literal_stays_on_one_line() -> None:
    assert literal("a\nb\r") == r'"a\nb\r"'


def test_one_of_derives_each_text() -> None:
    assert list(Grammar(f"root ::= {one_of(['yes', 'no', 'may|be'])}").language()) == ["yes", "no", "may|be"]


@given(st.lists(st.text('ab|"\\', max_size=6), min_size=51, max_size=120, unique=True))
def test_each_of_many_texts_is_derived_once(texts: list[str]) -> None:
    assert sorted(Grammar(f"root ::= {one_of(texts)}").language()) == sorted(texts)


def test_many_texts_that_begin_alike_are_written_together() -> None:
    rule = one_of([f"city {number:04d}" for number in range(1000)])
    assert rule.startswith('"city 0" ("0" ("0" ("0" | "1"')
    assert len(rule) < 8000
