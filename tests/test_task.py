from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError, TaskNotFoundError
from tagal_dspy.schema import SchemaOverrides, TableSchema
from tagal_dspy.task import TableTask, find_task

SECRET = "Ms. Rosalind Secret"


def frame(n: int = 100) -> pd.DataFrame:
    return pd.DataFrame({"x": [i * 3 for i in range(n)], "y": [("a", "b", "c")[i * i % 3] for i in range(n)]})


@pytest.fixture
def task() -> TableTask:
    return TableTask(frame(), target="y")


def test_known_rows_are_those_that_the_paper_samples(task: TableTask) -> None:
    known = frame().sample(frac=0.8, random_state=42)
    together = pd.concat([task.train, task.validation])["x"]
    assert sorted(together) == sorted(known["x"])
    assert task.test["x"].tolist() == frame().drop(known.index)["x"].tolist()


@pytest.mark.parametrize(("name", "target"), [("adult", "income"), ("thyroid", "Recurred"), ("travel", "ChurnOrNot")])
def test_tables_of_the_paper_are_split_as_in_the_paper(shared_data: Path, name: str, target: str) -> None:
    real = pd.read_csv(shared_data / f"{name}.csv")
    task = TableTask(real, target=target)
    known = real.sample(frac=0.8, random_state=42)
    pd.testing.assert_frame_equal(task.test, real.drop(known.index).reset_index(drop=True))
    together = pd.concat([task.train, task.validation])
    assert sorted(task.schema.to_rows(together), key=str) == sorted(task.schema.to_rows(known), key=str)


def test_split_holds_every_row_once(task: TableTask) -> None:
    together = pd.concat([task.train, task.validation, task.test])
    assert sorted(together["x"]) == frame()["x"].tolist()


def test_validation_has_the_class_shares_of_the_training_rows(task: TableTask) -> None:
    counts = (task.train["y"].value_counts(), task.validation["y"].value_counts())
    assert all(counts[1][label] == pytest.approx(counts[0][label] / 4, abs=1) for label in task.schema.classes)


def test_every_class_keeps_a_training_row() -> None:
    rare = pd.DataFrame({"x": range(50), "y": ["common"] * 25 + [f"rare {i % 5}" for i in range(25)]})
    task = TableTask(rare, target="y")
    assert set(task.train["y"]) == set(task.schema.classes)


def test_split_seed_changes_the_split(task: TableTask) -> None:
    assert TableTask(frame(), target="y", split_seed=1).test["x"].tolist() != task.test["x"].tolist()


def test_schema_knows_no_value_that_only_test_rows_have(task: TableTask) -> None:
    changed = frame()
    known = changed.sample(frac=0.8, random_state=42).index
    changed.loc[~changed.index.isin(known), "x"] = 10**6
    assert TableTask(changed, target="y").schema == task.schema


def test_real_rows_are_all_rows(task: TableTask) -> None:
    assert task.real_rows == frozenset(task.schema.to_rows(frame()))


def test_rows_without_a_target_value_are_left_out() -> None:
    partly = frame().assign(y=lambda table: table["y"].where(table["x"] % 2 == 0))
    task = TableTask(partly, target="y")
    assert len(task.train) + len(task.validation) + len(task.test) == 50


def test_index_of_the_frame_does_not_matter(task: TableTask) -> None:
    shuffled = frame().set_axis(np.zeros(100, dtype=int))
    assert TableTask(shuffled, target="y").id == task.id


def test_frame_is_left_as_it_was() -> None:
    given = frame()
    TableTask(given, target="y")
    pd.testing.assert_frame_equal(given, frame())


def test_fewer_than_five_rows_are_refused() -> None:
    with pytest.raises(DataError, match="the table has 4 usable rows; at least 5"):
        TableTask(frame(4))


def test_target_of_the_overrides_is_taken() -> None:
    assert TableTask(frame(), overrides=SchemaOverrides(target="y")).schema.target == "y"


def test_equal_content_has_an_equal_id(task: TableTask) -> None:
    assert TableTask(frame(), target="y").id == task.id


@pytest.mark.parametrize("change", ["cell", "target", "seed", "notes"])
def test_other_content_has_another_id(task: TableTask, change: str) -> None:
    other = frame()
    if change == "cell":
        other.loc[3, "x"] = 10
    target = None if change == "target" else "y"
    notes = "seen" if change == "notes" else ""
    seed = 1 if change == "seed" else 42
    assert TableTask(other, target, SchemaOverrides(notes=notes), split_seed=seed).id != task.id


def test_repr_shows_the_id_and_no_row() -> None:
    task = TableTask(pd.DataFrame({"name": [f"{SECRET} {i}" for i in range(20)]}))
    assert task.id in repr(task)
    assert "Secret" not in repr(task)


def test_pickle_holds_no_row() -> None:
    task = TableTask(pd.DataFrame({"name": [f"{SECRET} {i}" for i in range(20)]}))
    assert b"Secret" not in pickle.dumps(task)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_copy_is_the_task_itself(task: TableTask, again: object) -> None:
    assert callable(again)
    assert again(task) is task


def test_deepcopy_of_what_refers_to_a_task_copies_no_row(task: TableTask) -> None:
    assert copy.deepcopy({"inputs": [task]})["inputs"][0] is task


def test_task_is_found_while_another_of_the_same_table_comes_and_goes(task: TableTask) -> None:
    second = TableTask(frame(), target="y")
    del second
    gc.collect()
    assert find_task(task.id) is task


def test_task_is_found_after_the_first_of_the_same_table_is_gone() -> None:
    first, second = TableTask(frame(30)), TableTask(frame(30))
    del first
    gc.collect()
    assert find_task(second.id) is second


def test_task_that_nobody_keeps_is_forgotten() -> None:
    task_id = TableTask(frame(31)).id
    gc.collect()
    with pytest.raises(TaskNotFoundError, match=f"no table task '{task_id}' in this process"):
        find_task(task_id)


def test_pickle_loads_in_another_process_only_after_the_task_is_made(task: TableTask, tmp_path: Path) -> None:
    (tmp_path / "task.pickle").write_bytes(pickle.dumps(task))
    program = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    loaded = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "task.pickle")], capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 1
    assert "make the TableTask from its table before loading what refers to it" in loaded.stderr


def test_task_of_parts_keeps_them_and_is_known_by_its_split() -> None:
    frame = pd.DataFrame({"x": range(50), "y": ["a", "b"] * 25})
    schema = TableSchema.infer(frame, "y")
    tasks = [TableTask.of_parts(schema, train=frame[:n], validation=frame[n:]) for n in (30, 40)]
    assert [(len(each.train), len(each.validation), len(each.test)) for each in tasks] == [(30, 20, 0), (40, 10, 0)]
    assert len({tasks[0].id, tasks[1].id, TableTask(frame, "y").id}) == 3
    assert pickle.loads(pickle.dumps(tasks[0])) is tasks[0]
