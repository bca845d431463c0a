"""Tables of other generators are read as they were meant."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import mixed_frame

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import Learning, TableMetric
from tagal_dspy.metrics import judging as module
from tagal_dspy.metrics.judging import judge
from tagal_dspy.metrics.tables import ready
from tagal_dspy.schema import TableSchema
from tagal_dspy.task import TableTask


def meant(real: list[Any], written: list[Any]) -> list[Any]:
    """The labels that some cells are taken for, where the real ones are these."""
    schema = TableSchema.infer(pd.DataFrame({"x": range(20), "y": (real * 20)[:20]}), "y")
    frame = pd.DataFrame({"x": range(len(written)), "y": pd.Series(written, dtype=object)})
    return judge(schema, "synthetic", frame, min_rows=1).ready["y"].tolist()


@pytest.mark.parametrize(
    ("real", "written", "labels"),
    [
        (["no", "yes"], ["YES", " yes ", "No", "yes"], ["yes", "yes", "no", "yes"]),
        (["no", "yes"], [True, False], ["yes", "no"]),
        (["no", "yes"], ["True", "0", "1.0", 1, 0.0], ["yes", "no", "yes", "yes", "no"]),
        ([0, 1], ["yes", "False", "1.0", True], ["1", "0", "1", "1"]),
        ([False, True], ["no", 1, "TRUE"], ["False", "True", "True"]),
        (["a", "b", "c"], ["A", "b ", "d"], ["a", "b", "d"]),
        (["1", "2", "3"], ["2.0", 3.0, "yes"], ["2", "3", "yes"]),
    ],
)
def test_label_that_differs_in_spelling_alone_is_the_label_meant(
    real: list[Any], written: list[Any], labels: list[str]
) -> None:
    assert meant(real, written) == labels


@pytest.mark.parametrize(
    ("real", "written"),
    [
        (["Yes", "YES", "no"], "yes"),  # two real labels are spelled so
        (["yes", "1", "no"], "True"),  # two real labels are true
        (["no", "yes", "maybe"], "True"),  # the real labels are more than a true and a false one
        (["01", "02", "x"], "1"),  # a code without its zero is another code
    ],
)
def test_label_that_could_mean_two_is_left_as_it_is(real: list[Any], written: str) -> None:
    assert meant(real, [written]) == [written]


def test_respelled_labels_are_counted_by_spelling_in_the_order_of_their_number() -> None:
    schema = TableSchema.infer(pd.DataFrame({"x": range(20), "y": ["no", "yes"] * 10}), "y")
    found = judge(schema, "synthetic", pd.DataFrame({"x": range(5), "y": ["NO", "yes", "YES", "YES", None]}))
    assert found.respelled == (("y", "YES", "yes", 2), ("y", "NO", "no", 1))


def test_cells_that_cannot_be_read_are_counted_and_readable_ones_outside_the_real_range_are_not() -> None:
    schema = TableSchema.infer(pd.DataFrame({"age": range(20, 60), "y": ["no", "yes"] * 20}), "y")
    ages = ["30", "unknown", "200", "31.5", " 40 ", "?", "nan", "?", ""]
    found = judge(schema, "synthetic", pd.DataFrame({"age": ages, "y": "no"}))
    assert found.unreadable == (("age", "wrong_type", 4, "?"),)
    assert found.frame["age"].tolist()[:-1] == [30.0, 200.0, 31.5, 40.0]
    assert np.isnan(found.frame["age"].tolist()[-1])
    assert (np.isinf(found.whole["age"]).sum(), len(found.whole), len(found.ready)) == (4, 9, 5)


def test_infinite_number_cannot_be_read(real: pd.DataFrame, schema: TableSchema) -> None:
    found = judge(schema, "synthetic", real.assign(wage=[np.inf, -np.inf, *real["wage"][2:]]))
    assert [(each.column, each.n_cells) for each in found.unreadable] == [("wage", 2)]
    assert len(found.ready) == len(real) - 2


def test_dates_are_read_in_the_real_format_and_kept_where_they_are_out_of_range() -> None:
    schema = TableSchema.infer(pd.DataFrame({"born": [f"{day:02d}/06/2001" for day in range(1, 29)], "x": range(28)}))
    written = pd.DataFrame({"born": ["5/6/2001", "30/12/2030", "someday", None], "x": range(4)})
    found = judge(schema, "synthetic", written)
    assert found.frame["born"].tolist() == ["05/06/2001", "30/12/2030", None]
    assert found.unreadable == (("born", "wrong_type", 1, "someday"),)
    days = pd.DataFrame({"born": [date(2001, 6, day) for day in range(1, 29)], "x": range(28)})
    assert judge(TableSchema.infer(days), "synthetic", days).is_readable.all()


def test_table_of_ones_own_is_ready_as_it_was_in_every_kind() -> None:
    task = TableTask(mixed_frame(300), target="class")
    found = judge(task.schema, "train", task.train)
    assert (found.unreadable, found.respelled, found.ignored) == ((), (), ())
    pd.testing.assert_frame_equal(found.ready, ready(task.schema, train=task.train)[0], check_exact=True)
    assert task.schema.to_rows(found.frame) == task.train_rows
    texts = pd.DataFrame(task.schema.to_rows(task.train), columns=list(task.schema.names))
    assert judge(task.schema, "texts", texts).unreadable == ()


def test_column_left_without_a_value_by_unreadable_rows_is_told(real: pd.DataFrame, schema: TableSchema) -> None:
    bad = real.head(4).assign(age=[30, 31, 32, "old"], town=[None, None, None, "Huy"])
    with pytest.raises(DataError, match="column 'town' has no value in the 3 rows that can be read"):
        judge(schema, "synthetic", bad)


def test_each_distinct_value_is_read_once(
    real: pd.DataFrame, schema: TableSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = module._number
    monkeypatch.setattr(module, "_number", lambda column, text: asked.append(text) or read(column, text))
    judge(schema, "synthetic", pd.concat([real.assign(age=real["age"].astype(str))] * 3))
    assert len(asked) == real["age"].nunique()


def test_table_metric_counts_an_unreadable_cell_instead_of_giving_the_worst_score(
    task: TableTask, fresh: pd.DataFrame
) -> None:
    metric = TableMetric(learning=Learning(classifiers=("LR",), seeds=(0,), n_bootstrap=20))
    whole = metric.evaluate(task, fresh)
    found = metric.evaluate(task, fresh.assign(age=["old", *fresh["age"][1:]]))
    assert found.problem == ""
    assert found.validity["age"] == pytest.approx(whole.validity["age"] - 1 / 120, abs=1e-3)
    assert found.objectives["validity"] < whole.objectives["validity"]
