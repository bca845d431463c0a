from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.metrics import Learning, TableReport, evaluate, evaluate_task
from tagal_dspy.metrics.evaluate import MAX_ROWS
from tagal_dspy.task import TableTask

FAST = Learning(classifiers=("LR",), seeds=(0,), n_bootstrap=20)


@pytest.fixture(scope="module")
def report(real: pd.DataFrame, fresh: pd.DataFrame, holdout: pd.DataFrame) -> TableReport:
    return evaluate(real, fresh, "rich", holdout, baselines=["marginals"])


def test_fresh_real_rows_score_near_the_ceiling_and_marginals_near_the_floor(report: TableReport) -> None:
    assert report.score.low <= report.score.value <= report.score.high
    assert report.score.value == pytest.approx(1, abs=0.35)
    assert report.baselines["marginals"].value == pytest.approx(0, abs=0.35)
    assert report.score.parts["utility"].floor < report.score.parts["utility"].ceiling


def test_report_is_strict_json_with_a_key_for_all_that_is_measured(report: TableReport) -> None:
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(values) == set(TableReport.__dataclass_fields__)
    assert list(values["utility"]) == ["tstr", "trtr", "combined"]
    assert all(list(each) == ["LR", "RF", "HGB", "mean"] for each in values["utility"].values())
    assert values["diversity"]["duplicates"].keys() == {"value", "real"}
    assert set(values["columns"]) == {"age", "wage", "job", "town", "owner", "rich"}
    assert values["privacy"]["few_shots"] is None


def test_order_of_rows_changes_nothing(
    report: TableReport, real: pd.DataFrame, fresh: pd.DataFrame, holdout: pd.DataFrame
) -> None:
    shuffled = [frame.sample(frac=1, random_state=3) for frame in (real, fresh, holdout)]
    again = evaluate(shuffled[0], shuffled[1], "rich", shuffled[2])
    assert again.to_dict() | {"baselines": None} == report.to_dict() | {"baselines": None}


def test_nearness_to_few_shots_is_told_apart(task: TableTask, fresh: pd.DataFrame) -> None:
    shots = task.train.dropna().head(20)  # no number is missing: no other row is equal by chance
    found = evaluate_task(task, pd.concat([fresh, shots]), learning=FAST, few_shots=shots)
    assert found.privacy is not None
    assert found.privacy.few_shots is not None
    assert found.privacy.few_shots.n_rows == 20
    assert found.privacy.few_shots.copies == pytest.approx(20 / 140)


def test_utility_is_measured_as_asked(real: pd.DataFrame, fresh: pd.DataFrame, holdout: pd.DataFrame) -> None:
    found = evaluate(real, fresh, "rich", holdout, learning=Learning("f1", ("LR",), n_bootstrap=20))
    assert found.metric == "f1"
    assert [list(each) for each in found.utility.values()] == [["LR", "mean"]] * 3


def test_without_a_holdout_a_stratified_fifth_is_held_out(real: pd.DataFrame, fresh: pd.DataFrame) -> None:
    found = evaluate(real, fresh, "rich", learning=FAST)
    assert (found.rows.train, found.rows.holdout, found.rows.held_out) == (320, 80, True)


def test_table_without_a_target_has_no_utility(real: pd.DataFrame, fresh: pd.DataFrame, holdout: pd.DataFrame) -> None:
    found = evaluate(real, fresh, None, holdout)
    assert found.utility == {}
    assert list(found.score.parts) == ["fidelity"]


def test_few_rows_are_measured_as_far_as_they_go(real: pd.DataFrame, fresh: pd.DataFrame) -> None:
    found = evaluate(real, fresh.dropna().head(3), "rich", learning=FAST)
    assert (found.detection, found.prdc) == (None, None)
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_of_many_synthetic_rows_a_seeded_sample_is_measured(
    real: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[evaluate.__module__], "MAX_ROWS", 50)
    many = pd.concat([real.head(60)] * 4)
    found, again = (evaluate(real, each, "rich", learning=FAST) for each in (many, many.iloc[::-1]))
    assert (found.rows.synthetic, found.rows.measured) == (240, 50)
    assert found.to_dict() == again.to_dict()
    # All rows repeat four times: a sample of 50 would show less.
    assert found.diversity.duplicates.value >= 0.75
    assert MAX_ROWS == 10_000


def bad_tables(real: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame, list[str]]]:
    """Real and synthetic tables that do not go together, and what is said of them."""
    return {
        "empty": (real, real.head(0), ["synthetic: 0 rows; at least 2 are needed"]),
        "one row, no target": (
            real,
            real.head(1).drop(columns="rich"),
            ["synthetic: the target 'rich' is missing", "synthetic: 1 rows; at least 2 are needed"],
        ),
        "other columns": (
            real,
            real.rename(columns={"age": "years"}),
            ["synthetic: columns are missing: ['age']"],
        ),
        "wrong and missing values": (
            real,
            real.assign(age="old", town=np.nan),
            [
                "synthetic: 0 of 400 rows can be read; at least 2 are needed: unreadable cells: 400 of 'age' "
                "(wrong_type, e.g. 'old')",
                "synthetic: column 'town' has no value at all",
            ],
        ),
        "no column of the real table": (
            real,
            pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
            ["synthetic: none of the columns 'age', 'wage', 'job', 'town', 'owner', 'rich' is there"],
        ),
        "no usable target": (
            real,
            real.assign(rich="maybe"),
            ["synthetic: no row has a usable target: 'rich' holds 'maybe'; expected 'no', 'yes'"],
        ),
        "both sides": (
            real.drop(columns="rich").assign(wage=np.nan),
            real.drop(columns="job").head(1),
            [
                "real: column 'wage' has no value at all: leave it out with `drop` or `--drop`",
                "real: target 'rich' is not a column; the table has 'age', 'wage', 'job', 'town', 'owner'",
                "synthetic: columns are missing: ['job']",
                "synthetic: 1 rows; at least 2 are needed",
            ],
        ),
    }


@pytest.mark.parametrize("case", bad_tables(pd.DataFrame({"age": [1], "rich": 1, "job": 1, "wage": 1, "town": 1})))
def test_all_problems_are_told_at_once_a_line_each(real: pd.DataFrame, case: str) -> None:
    known, synthetic, lines = bad_tables(real)[case]
    with pytest.raises(DataError) as caught:
        evaluate(known, synthetic, "rich")
    assert str(caught.value).splitlines() == lines


@pytest.fixture(scope="module")
def foreign(fresh: pd.DataFrame) -> pd.DataFrame:
    """What a perfect generator makes, written by another hand."""
    return fresh.assign(
        age=["old", "unknown", *fresh["age"].astype(str)[2:]],
        rich=fresh["rich"].map({"yes": " YES", "no": "no"}),
        owner=fresh["owner"].map({True: "yes", False: "no"}),
        index=range(len(fresh)),
    )


def test_unreadable_cells_count_as_invalid_and_their_rows_in_nothing_else(
    real: pd.DataFrame, fresh: pd.DataFrame, foreign: pd.DataFrame, holdout: pd.DataFrame
) -> None:
    found, clean = (evaluate(real, each, "rich", holdout, learning=FAST) for each in (foreign, fresh[2:]))
    assert (found.rows.synthetic, found.rows.unreadable, found.rows.measured) == (120, 2, 118)
    assert found.unreadable == (("age", "wrong_type", 2, "old"),)
    assert found.columns["age"].validity == pytest.approx(clean.columns["age"].validity * 118 / 120)
    lost = clean.score.objectives["validity"] - found.score.objectives["validity"]
    assert lost == pytest.approx(2 / 120 / 6, rel=0.1)
    assert (found.utility["tstr"], found.diversity) == (clean.utility["tstr"], clean.diversity)
    assert {name: each.similarity for name, each in found.columns.items()} == {
        name: each.similarity for name, each in clean.columns.items()
    }


def test_labels_spelled_otherwise_are_the_labels_meant_and_other_columns_are_ignored(
    real: pd.DataFrame, fresh: pd.DataFrame, foreign: pd.DataFrame
) -> None:
    found = evaluate(real, foreign, "rich", learning=FAST)
    counts = fresh["rich"].value_counts(), fresh["owner"].value_counts()
    assert found.respelled == (
        ("owner", "no", "False", counts[1][False]),
        ("owner", "yes", "True", counts[1][True]),
        ("rich", " YES", "yes", counts[0]["yes"]),
    )
    assert found.ignored == ("index",)
    assert found.untrained == ""


def test_unreadable_rows_of_a_sampled_table_count_in_the_whole_of_it(
    real: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[evaluate.__module__], "MAX_ROWS", 50)
    many = pd.concat([real.head(100).assign(age="old"), real.head(300)])
    found, again = (evaluate(real, each, "rich", learning=FAST) for each in (many, many.iloc[::-1]))
    assert found.rows.unreadable == 100
    assert 25 < found.rows.measured < 50
    assert found.columns["age"].validity == pytest.approx(0.75)
    assert found.to_dict() == again.to_dict()


def test_something_else_than_a_real_frame_is_refused(fresh: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"real: expected a pandas\.DataFrame, got list"):
        evaluate([1], fresh)  # type: ignore[arg-type]


def test_unknown_baseline_is_told_before_anything_is_measured(real: pd.DataFrame, fresh: pd.DataFrame) -> None:
    with pytest.raises(SettingsError, match="baseline 'magic' is unknown"):
        evaluate(real, fresh, "rich", baselines=["magic"])
