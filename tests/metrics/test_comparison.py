from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import compare


def test_steady_small_gain_is_found_though_tasks_differ_more() -> None:
    hardness = np.linspace(0, 1, 10)
    noise = np.random.default_rng(0).normal(0, 0.01, 10)
    found = compare(hardness + 0.03 + noise, hardness)
    assert found.difference == pytest.approx(0.03 + noise.mean())
    assert 0 < found.low < found.difference < found.high
    assert found.p_value < 0.01


def test_interval_is_students_t() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 30))
    found, expected = compare(a, b), ttest_rel(a, b).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_exact_p_value_of_four_gains_is_two_in_sixteen() -> None:
    assert compare([1, 2, 3, 4], [0, 0, 0, 0]).p_value == 2 / 16


def test_equal_programs_have_no_difference() -> None:
    found = compare([0.5] * 20, [0.5] * 20)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_sampled_p_value_is_seeded_and_never_zero() -> None:
    gains = np.linspace(1, 2, 40)
    found = compare(gains, np.zeros(40), seed=3)
    assert found == compare(gains, np.zeros(40), seed=3)
    assert 0 < found.p_value < 0.001


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0])])
def test_scores_that_are_no_pairs_are_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(DataError):
        compare(a, b)
