from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagal_dspy.conditions import Condition, Slot, parse_rows_per, quotas_for
from tagal_dspy.errors import ConditionError, SettingsError
from tagal_dspy.schema import TableSchema

FRAME = pd.DataFrame(
    {"age": range(30), "weight": [i * 1.5 for i in range(30)], "grade": [("<=C", "B", "a=1")[i % 3] for i in range(30)]}
)
SCHEMA = TableSchema.infer(FRAME, "grade")


def test_nothing_asked_about_classes_is_no_quota() -> None:
    assert quotas_for(SCHEMA, 9) is None
    assert quotas_for(SCHEMA, 9, balance=False) is None


@given(st.integers(1, 1000))
def test_balanced_classes_add_up_and_differ_by_one_at_most(n_rows: int) -> None:
    counts = (quotas_for(SCHEMA, n_rows, balance=True) or {}).values()
    assert sum(counts) == n_rows
    assert max(counts) - min(counts) <= 1


def test_counts_are_exact_and_other_classes_get_none() -> None:
    assert quotas_for(SCHEMA, None, rows_per={"b": 4, "a=1": 2}) == {Slot("B"): 4, Slot("a=1"): 2}
    assert quotas_for(SCHEMA, 6, rows_per={"B": 6}) == {Slot("B"): 6}


def test_counts_may_be_of_conditions_which_are_joined_to_the_one_of_all_rows() -> None:
    condition = Condition.parse("grade != 'B'", SCHEMA)
    quotas = quotas_for(SCHEMA, None, rows_per={"age >= 20": 3, "weight in [3.0, 4.5]": 1}, condition=condition)
    assert {str(slot): n for slot, n in (quotas or {}).items()} == {
        "grade != 'B' and age >= 20": 3,
        "grade != 'B' and weight in [3.0, 4.5]": 1,
    }
    assert quotas_for(TableSchema.infer(FRAME), None, rows_per={"age < 9": 2}) is not None


def test_counts_of_a_condition_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(ConditionError, match="no row can meet"):
        quotas_for(SCHEMA, None, rows_per={"age > 99": 1})


def test_class_that_the_condition_rules_out_gets_none() -> None:
    condition = Condition.parse("grade != 'B' and age > 3", SCHEMA)
    assert quotas_for(SCHEMA, 7, balance=True, condition=condition) == {Slot("<=C"): 4, Slot("a=1"): 3}
    with pytest.raises(SettingsError, match="the condition rules out the class 'B'"):
        quotas_for(SCHEMA, None, rows_per={"B": 1}, condition=condition)


def test_condition_on_other_columns_leaves_all_classes() -> None:
    condition = Condition.parse("age > 3", SCHEMA)
    assert quotas_for(SCHEMA, 3, balance=True, condition=condition) == {Slot("<=C"): 1, Slot("B"): 1, Slot("a=1"): 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SCHEMA, None, True, None), "equal classes need the number of rows"),
        ((SCHEMA, 5, True, {"B": 5}), "exclude each other"),
        ((SCHEMA, 5, None, {"B": 4}), "the counts add up to 4, but 5 rows are asked for"),
        ((SCHEMA, None, None, {"B": 0}), "add up to 0"),
        ((SCHEMA, None, None, {}), "add up to 0"),
        ((SCHEMA, None, None, {"B": -1}), "the count of 'B' is -1; expected a whole number of 0 or more"),
        ((SCHEMA, None, None, {"B": 2.5}), "the count of 'B' is 2.5; expected a whole number"),
        ((SCHEMA, None, None, ["B"]), "rows_per is of the type list; expected a dict"),
        ((SCHEMA, None, None, {"C": 4}), "no class 'C'; known are '<=C', 'B', 'a=1'"),
        ((SCHEMA, None, None, {"B": 4, "b": 4}), "'b' is there twice"),
        ((TableSchema.infer(FRAME), 5, True, None), "the table has no target"),
        ((TableSchema.infer(FRAME, "weight"), 5, True, None), "the target 'weight' is a number to regress"),
    ],
)
def test_impossible_counts_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        quotas_for(*arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_last_equals_sign_parts_class_and_number() -> None:
    assert parse_rows_per(["<=50K=10", "a=1= 3", " b =0"]) == {"<=50K": 10, "a=1": 3, " b ": 0}


@pytest.mark.parametrize("text", ["", "yes", "yes=", "=5", "yes=-1", "yes=1.5", "yes=1e3", "yes=٣", "yes=9999999999"])
def test_what_is_not_class_and_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not CLASS=N"):
        parse_rows_per([text])


def test_class_given_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="'yes' is there twice"):
        parse_rows_per(["yes=1", "yes=2"])
