from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagal_dspy.rules import FixedCombinations, FixedIncrements, Inequality, suggest_rules
from tagal_dspy.task import TableTask

N = 2000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def mined(**columns: Any) -> tuple[object, ...]:
    return suggest_rules(TableTask(pd.DataFrame(columns))).rules


def test_order_is_found(rng: np.random.Generator) -> None:
    born = rng.integers(1950, 2000, N)
    assert mined(born=born, hired=born + rng.integers(0, 40, N)) == (Inequality(low="born", high="hired"),)


def test_order_is_strict_where_equal_values_would_be_expected(rng: np.random.Generator) -> None:
    born = rng.integers(1950, 2000, N)
    assert mined(born=born, hired=born + rng.integers(1, 40, N)) == (Inequality(low="born", high="hired", strict=True),)
    price = rng.uniform(0, 100, N)
    assert mined(price=price, total=price + rng.uniform(1, 50, N)) == (Inequality(low="price", high="total"),)


def test_order_that_follows_from_the_ranges_is_left_out(rng: np.random.Generator) -> None:
    assert mined(small=rng.integers(0, 10, N), large=rng.integers(10, 20, N)) == ()


def test_order_that_follows_from_others_is_left_out(rng: np.random.Generator) -> None:
    a = rng.integers(0, 50, N)
    b = a + rng.integers(0, 20, N)
    c = b + rng.integers(1, 20, N)
    assert mined(c=c, a=a, b=b) == (Inequality(low="a", high="b"), Inequality(low="b", high="c", strict=True))


def test_order_does_not_follow_by_way_of_missing_values(rng: np.random.Generator) -> None:
    a = rng.integers(0, 50, N)
    b = pd.Series(a + rng.integers(0, 20, N), dtype="Int64").mask(np.arange(N) % 3 == 0)
    c = a + rng.integers(20, 40, N)
    assert Inequality(low="a", high="c", strict=True) in mined(a=a, b=b, c=c)


def test_rows_that_lack_a_value_keep_an_order(rng: np.random.Generator) -> None:
    a = rng.integers(0, 50, N)
    b = pd.Series(a + rng.integers(0, 20, N), dtype="float").mask(np.arange(N) % 3 == 0)
    assert mined(a=a, b=b) == (Inequality(low="a", high="b"),)


def test_one_row_against_it_is_enough() -> None:
    a = np.arange(N)
    b = a + 5
    b[TableTask(pd.DataFrame({"a": a, "b": b})).train["a"].iloc[0]] = -1
    assert mined(a=a, b=b) == ()


def test_equal_columns_bound_each_other() -> None:
    a = np.arange(N)
    assert mined(a=a, b=a) == (Inequality(low="a", high="b"), Inequality(low="b", high="a"))


def test_multiple_is_found(rng: np.random.Generator) -> None:
    weight = pd.Series(rng.integers(0, 100, N) * 25, dtype="Int64").mask(np.arange(N) % 7 == 0)
    assert mined(weight=weight) == (FixedIncrements(column="weight", increment=25),)


def test_multiple_is_not_claimed_on_few_values(rng: np.random.Generator) -> None:
    assert mined(size=rng.choice([2, 4, 8], N)) == ()
    assert mined(price=rng.integers(0, 100, N) * 0.5) == ()


def test_combinations_are_found(rng: np.random.Generator) -> None:
    city = rng.integers(0, 9, N)
    land = [f"land{each // 3}" for each in city]
    other = rng.choice(["yes", "no"], N)
    found = mined(city=[f"city{each}" for each in city], land=land, other=other)
    assert found == (FixedCombinations(columns=("city", "land")),)


def test_missing_value_is_part_of_a_combination(rng: np.random.Generator) -> None:
    code = rng.integers(0, 6, N)
    assert mined(a=[f"a{each}" for each in code], b=[None if each == 0 else f"b{each}" for each in code]) == (
        FixedCombinations(columns=("a", "b")),
    )


def test_sparse_combinations_are_not_taken_for_fixed(rng: np.random.Generator) -> None:
    assert mined(a=rng.integers(0, 60, N).astype(str), b=rng.integers(0, 60, N).astype(str)) == ()


@given(st.integers(0, 10**6), st.sampled_from([12, 30, 300]))
def test_independent_columns_have_no_rules(seed: int, n_rows: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = {f"n{i}": rng.exponential(10.0 * 3**i, n_rows).round(1) for i in range(4)}
    whole = {f"w{i}": rng.integers(0, 40, n_rows) for i in range(3)}
    categories = {f"c{i}": rng.choice(list("abcdefghijkl")[: 3 * i + 3], n_rows) for i in range(4)}
    assert mined(**numbers, **whole, **categories) == ()


@given(st.integers(0, 10**6))
def test_real_rows_keep_what_is_suggested(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(0, 10.0 ** rng.integers(-8, 3), 200)
    task = TableTask(
        pd.DataFrame(
            {
                "a": a,
                "b": a + rng.exponential(a.std(), 200),
                "c": np.floor(a),
                "k": rng.integers(0, 3, 200).astype(str),
                "m": (a > 0).astype(str),
                "n": (a > 0).astype(int),
            }
        )
    )
    suggest_rules(task).check(task)


def test_large_table_takes_two_seconds_at_most(rng: np.random.Generator) -> None:
    n = 100_000
    a = rng.integers(0, 1000, n)
    columns = {f"n{i}": a + rng.integers(0, 100 * i + 1, n) for i in range(8)}
    columns |= {f"c{i}": rng.choice(list("abcdefghij"), n) for i in range(7)}
    task = TableTask(pd.DataFrame(columns))
    started = time.perf_counter()
    suggest_rules(task)
    assert time.perf_counter() - started < 2
