from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagal_dspy.acceptance import AcceptancePipeline, RowFilter, Strictness, apportion
from tagal_dspy.acceptance.pipeline import LONGEST_ANSWER
from tagal_dspy.codecs import CsvCodec
from tagal_dspy.conditions import ANY, Condition, Slot
from tagal_dspy.rules import FixedCombinations, FixedIncrements, Rules
from tagal_dspy.schema import Row
from tagal_dspy.task import TableTask


@pytest.fixture
def task() -> TableTask:
    return TableTask(
        pd.DataFrame(
            {
                "age": [20 + i for i in range(40)],
                "job": [("cook", "smith", None)[i % 3] for i in range(40)],
                "buys": [("no", "yes")[i % 2] for i in range(40)],
            }
        ),
        target="buys",
    )


def new_rows(n: int, label: str = "no") -> list[Row]:
    """Fitting rows that are not in the table, where odd ages say yes and even ones no."""
    return [(str(21 + 2 * i if label == "no" else 20 + 2 * i), "cook", label) for i in range(n)]


def pipeline(
    row_filter: RowFilter, n_rows: int, quotas: dict[Slot, int] | None = None, *, keeps_surplus: bool = False
) -> AcceptancePipeline:
    codec = CsvCodec(row_filter.task.schema)
    return AcceptancePipeline(codec, row_filter, n_rows, quotas, keeps_surplus=keeps_surplus)


def reasons(row_filter: RowFilter, row: Row) -> list[str]:
    return [reject.reason for reject in row_filter.fitting([row])[1]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("old", "cook", "no"), "wrong_type"),
        ((None, "cook", "no"), "wrong_type"),
        (("30.5", "cook", "no"), "wrong_type"),
        (("30", "king", "no"), "unknown_category"),
        (("30", "cook", "maybe"), "unknown_category"),
        (("999", "cook", "no"), "out_of_range"),
    ],
)
def test_row_that_does_not_fit_is_rejected_with_its_reason(task: TableTask, row: Row, reason: str) -> None:
    assert reasons(RowFilter(task), row) == [reason]


def test_fitting_rows_come_back_in_canonical_text(task: TableTask) -> None:
    assert RowFilter(task).fitting([(" 30.0", "COOK", "no "), ("31", "", "yes")]) == (
        [("30", "cook", "no"), ("31", None, "yes")],
        [],
    )


def test_reject_shows_the_row_and_what_is_wrong_with_it(task: TableTask) -> None:
    (reject,) = RowFilter(task).fitting([("30", None, "maybe")])[1]
    assert (reject.text, reject.detail) == ("30,,maybe", "'buys' has no category 'maybe'")


def test_published_method_takes_numbers_outside_the_range(task: TableTask) -> None:
    fitting, rejects = RowFilter(task, "valid").fitting([(" 999 ", "cook", "no")])
    assert (fitting, rejects) == ([("999", "cook", "no")], [])


@pytest.mark.parametrize("strictness", ["valid", "strict"])
def test_row_that_breaks_a_rule_or_the_condition_is_rejected_and_they_are_named(
    task: TableTask, strictness: Strictness
) -> None:
    rules = Rules(task.schema, (FixedIncrements(column="age", increment=2),))
    condition = Condition.parse("job != 'smith'", task.schema)
    rows: list[Row] = [("30", "cook", "no"), ("31", "smith", "no"), ("x", "cook", "no"), ("32", None, "no")]
    fitting, rejects = RowFilter(task, strictness, rules=rules, condition=condition).fitting([*rows, rows[0]])
    assert fitting == [rows[0], rows[0]]
    assert [(reject.reason, reject.text, reject.detail) for reject in rejects] == [
        ("constraint", "31,smith,no", '"age" is always a multiple of 2.'),
        ("wrong_type", "x,cook,no", "'age' is 'x', not a number"),
        ("constraint", "32,,no", "does not meet job != 'smith'"),
    ]


def test_filter_learns_the_combinations_of_the_real_rows() -> None:
    pairs = [("Ghent", "BE"), ("Bonn", "DE")]
    frame = pd.DataFrame([pairs[i % 2] for i in range(40)], columns=["city", "land"])
    task = TableTask(frame)
    rules = Rules(task.schema, (FixedCombinations(columns=("city", "land")),))
    fitting, rejects = RowFilter(task, rules=rules).fitting([("Ghent", "BE"), ("Ghent", "DE")])
    assert fitting == [("Ghent", "BE")]
    assert [reject.reason for reject in rejects] == ["constraint"]


@pytest.mark.parametrize(("strictness", "outcome"), [("strict", [["duplicate"], ["collision"]]), ("valid", [[], []])])
def test_duplicates_and_collisions_are_rejected_unless_the_method_is_the_published_one(
    task: TableTask, strictness: Strictness, outcome: list[list[str]]
) -> None:
    real = task.train_rows[0]
    for row, expected in zip((new_rows(1) * 2, [real]), outcome, strict=True):
        acceptance = pipeline(RowFilter(task, strictness), n_rows=5)
        acceptance.offer(row)
        assert [reject.reason for reject in acceptance.rejects] == expected


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_row_of_any_part_of_the_table_is_a_collision(task: TableTask, part: str) -> None:
    real = task.schema.to_rows(getattr(task, part))
    acceptance = pipeline(RowFilter(task), n_rows=5)
    assert acceptance.offer(real[:3]) == []
    assert acceptance.reject_counts() == {"collision": 3}


def with_twins() -> TableTask:
    """Half the rows say one thing, a tenth another, and the rest are alone."""
    rows = [("20", "no")] * 50 + [("30", "yes")] * 10 + [(str(40 + i), "yes") for i in range(40)]
    return TableTask(pd.DataFrame(rows, columns=["age", "buys"]).astype({"age": int}), "buys", withholds=False)


def test_common_rows_are_accepted_as_often_as_their_share_says_and_single_ones_never() -> None:
    acceptance = pipeline(RowFilter(with_twins(), common_rows="accepted"), n_rows=20)
    taken = acceptance.offer([*[("20", "no")] * 15, *[("30", "yes")] * 5, ("45", "yes"), ("35", "yes"), ("35", "yes")])
    assert Counter(taken) == {("20", "no"): 10, ("30", "yes"): 2, ("35", "yes"): 1}
    assert acceptance.reject_counts() == {"duplicate": 9, "collision": 1}


def test_common_rows_are_collisions_unless_they_are_asked_for() -> None:
    acceptance = pipeline(RowFilter(with_twins()), n_rows=20)
    assert acceptance.offer([("20", "no"), ("30", "yes")]) == []


@given(st.integers(1, 4), st.lists(st.tuples(*[st.sampled_from(["a", "b", "c"])] * 4), min_size=1, max_size=30))
def test_rows_nearer_to_a_training_row_than_the_least_distance_are_rejected(k: int, rows: list[Row]) -> None:
    frame = pd.DataFrame([("a", "a", "b", "c"), ("b", "c", "a", "a"), ("c", "b", "c", "b")] * 4, columns=list("pqrs"))
    few = TableTask(frame, withholds=False)
    acceptance = pipeline(RowFilter(few, common_rows="accepted", min_distance=k), n_rows=40)
    taken = acceptance.offer(rows)
    far = {row for row in rows if all(sum(a != b for a, b in zip(row, r, strict=True)) >= k for r in few.train_rows)}
    assert set(taken) == far
    assert acceptance.reject_counts().get("too_close", 0) == sum(row not in far for row in rows)


def test_exactly_as_many_rows_are_taken_as_wanted(task: TableTask) -> None:
    acceptance = pipeline(RowFilter(task), n_rows=3)
    assert acceptance.offer(new_rows(5)) == new_rows(3) == acceptance.rows
    assert acceptance.n_missing == 0
    assert acceptance.reject_counts() == {"quota_full": 2}


def test_quota_takes_so_many_of_each_class(task: TableTask) -> None:
    acceptance = pipeline(RowFilter(task), n_rows=3, quotas={Slot("no"): 1, Slot("yes"): 2})
    acceptance.offer([*new_rows(2, "no"), *new_rows(1, "yes")])
    assert [row[-1] for row in acceptance.rows] == ["no", "yes"]
    assert acceptance.missing == {Slot("no"): 0, Slot("yes"): 1}
    assert [reject.detail for reject in acceptance.rejects] == ["all rows wanted of its kind are there"]


def test_class_without_a_quota_is_not_wanted(task: TableTask) -> None:
    acceptance = pipeline(RowFilter(task), n_rows=2, quotas={Slot("yes"): 2})
    acceptance.offer(new_rows(1, "no"))
    assert acceptance.reject_counts() == {"quota_full": 1}


def test_without_quotas_any_rows_are_missing(task: TableTask) -> None:
    assert pipeline(RowFilter(task), n_rows=2).missing == {ANY: 2}


def test_duplicate_of_an_earlier_offer_is_rejected(task: TableTask) -> None:
    acceptance = pipeline(RowFilter(task), n_rows=5)
    acceptance.offer(new_rows(2))
    assert acceptance.offer(new_rows(3)) == new_rows(3)[2:]
    assert acceptance.reject_counts() == {"duplicate": 2}


def test_reject_counts_name_the_most_frequent_reason_first(task: TableTask) -> None:
    acceptance = pipeline(RowFilter(task), n_rows=5)
    acceptance.offer([task.train_rows[0], *new_rows(1) * 4])
    assert list(acceptance.reject_counts().items()) == [("duplicate", 3), ("collision", 1)]


@given(st.lists(st.sampled_from(["no", "yes"]), max_size=30), st.integers(0, 8), st.integers(0, 8))
def test_quotas_are_never_exceeded_and_every_row_is_accounted_for(labels: list[str], n_no: int, n_yes: int) -> None:
    task = TableTask(pd.DataFrame({"x": range(0, 80, 2), "buys": ["no", "yes"] * 20}), target="buys")
    acceptance = pipeline(RowFilter(task), n_no + n_yes, {Slot("no"): n_no, Slot("yes"): n_yes})
    acceptance.offer([(str(2 * i + 1), label) for i, label in enumerate(labels)])
    taken = [row[-1] for row in acceptance.rows]
    assert taken.count("no") == min(n_no, labels.count("no"))
    assert taken.count("yes") == min(n_yes, labels.count("yes"))
    assert len(acceptance.rows) + len(acceptance.rejects) == len(labels)


shares = st.dictionaries(st.text(max_size=3), st.floats(1e-6, 1e6), min_size=1, max_size=8)


@given(st.integers(0, 10_000), shares)
def test_apportioned_counts_add_up(n_rows: int, shares: dict[str, float]) -> None:
    assert sum(apportion(n_rows, shares).values()) == n_rows


@given(st.integers(0, 10_000), shares)
def test_apportioned_counts_are_within_one_of_the_exact_share(n_rows: int, shares: dict[str, float]) -> None:
    exact = {label: n_rows * share / sum(shares.values()) for label, share in shares.items()}
    counts = apportion(n_rows, shares)
    assert all(abs(counts[label] - exact[label]) < 1 + 1e-6 for label in shares)


@given(st.integers(0, 10_000), shares)
def test_larger_share_never_gets_fewer_rows(n_rows: int, shares: dict[str, float]) -> None:
    counts = apportion(n_rows, shares)
    by_share = sorted(shares, key=lambda label: (shares[label], counts[label]))
    assert [counts[label] for label in by_share] == sorted(counts.values())


@given(st.integers(0, 10_000), shares, st.sampled_from([0.25, 2.0, 1024.0]))
def test_only_the_proportions_of_the_shares_count(n_rows: int, shares: dict[str, float], factor: float) -> None:
    scaled = {label: share * factor for label, share in shares.items()}
    assert apportion(n_rows, scaled) == apportion(n_rows, shares)


def test_label_without_a_share_gets_no_row() -> None:
    assert apportion(7, {"a": 1.0, "b": 0.0}) == {"a": 7, "b": 0}


def test_answer_is_read_step_by_step_with_a_reason_for_each_row_that_is_not(task: TableTask) -> None:
    rules = Rules.from_table([{"kind": "fixed-increments", "column": "age", "increment": 2}], task.schema)
    read = pipeline(RowFilter(task, rules=rules), 5).read(
        "22,cook,no\nsorry\n1,2\n22,baker,no\n23,cook,no\n999,cook,no"
    )
    assert read.rows == (("22", "cook", "no"),)
    reasons = ["unparsable", "wrong_width", "unknown_category", "constraint", "out_of_range"]
    assert sorted(reject.reason for reject in read.rejects) == sorted(reasons)


def test_answer_in_another_layout_is_judged_like_any_other(task: TableTask) -> None:
    read = pipeline(RowFilter(task), 5).read(
        "<think>\n24,cook,no\n</think>\n| age | job | buys |\n|---|---|---|\n| 22.0 | COOK | no |\n| 22 | baker | no |"
    )
    assert read.rows == (("22", "cook", "no"),)
    assert [(reject.reason, reject.text) for reject in read.rejects] == [("unknown_category", "22,baker,no")]


def test_of_a_huge_answer_the_start_is_read_and_the_rest_is_one_reject(task: TableTask) -> None:
    line = "22,cook,no\n"
    answer = line * (3 * LONGEST_ANSWER // len(line))
    read = pipeline(RowFilter(task), 5).read(answer)
    assert len(read.rows) == LONGEST_ANSWER // len(line)
    last = read.rejects[-1]
    assert (last.reason, len(last.text)) == ("unparsable", 300)
    assert f"only the first {LONGEST_ANSWER:,} are read" in last.detail


def test_surplus_rows_are_cut_by_a_seeded_sample_of_all(task: TableTask) -> None:
    rows = new_rows(12)
    kept = []
    for seed in (0, 0, 1):
        acceptance = pipeline(RowFilter(task), 4, keeps_surplus=True)
        assert len(acceptance.offer(rows)) == 12
        assert acceptance.n_missing == 0
        acceptance.cut(np.random.default_rng(seed))
        kept.append(acceptance.rows)
        assert [row for row in rows if row in kept[-1]] == kept[-1]
        assert [reject.reason for reject in acceptance.rejects] == ["quota_full"] * 8
    assert kept[0] == kept[1] != kept[2]
    assert {len(each) for each in kept} == {4}
    assert kept[0] != rows[:4]


def test_surplus_is_cut_in_each_slot(task: TableTask) -> None:
    slots = {Slot("no"): 2, Slot("yes"): 1}
    acceptance = pipeline(RowFilter(task), 3, slots, keeps_surplus=True)
    acceptance.offer([*new_rows(5), *new_rows(4, "yes")])
    acceptance.cut(np.random.default_rng(0))
    assert {slot: len(rows) for slot, rows in acceptance.by_slot.items()} == slots
    assert len(acceptance.rows) == 3


def test_dropped_duplicates_are_the_only_novelty_that_valid_rows_may_need(task: TableTask) -> None:
    real = task.train_rows[0]
    for duplicates, expected in (("kept", []), ("dropped", ["duplicate"])):
        acceptance = pipeline(RowFilter(task, "valid", duplicates=duplicates), 5)  # type: ignore[arg-type]
        acceptance.offer([real, real])
        assert [reject.reason for reject in acceptance.rejects] == expected
