"""Floors and ceilings out of a folder are those that were measured, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from tagal_dspy.metrics import Learning, TableMetric
from tagal_dspy.metrics.combined import Evaluation
from tagal_dspy.task import TableTask

FAST = Learning(classifiers=("LR",), seeds=(0,), n_bootstrap=5)


class Measured:
    """What a fresh metric finds of the last training rows, and how many tables it measured for floor and ceiling."""

    def __init__(self, folder: Path | None, task: TableTask, n_rows: int = 40, **options: Any) -> None:
        steps: list[str] = []
        metric = TableMetric(folder=folder, on_step=steps.append, **{"learning": FAST, "n_replicates": 2, **options})
        self.found: Evaluation = metric.evaluate(task, task.train.tail(n_rows))
        self.n_tables = sum("floor and ceiling" in step for step in steps)


def test_kept_floor_and_ceiling_give_the_same_evaluation_to_the_last_bit(task: TableTask, tmp_path: Path) -> None:
    first, again, apart = (Measured(folder, task) for folder in (tmp_path / "new", tmp_path / "new", None))
    assert (first.n_tables, again.n_tables, apart.n_tables) == (8, 0, 8)
    assert first.found == again.found == apart.found


CHANGES: dict[str, dict[str, Any]] = {
    "rows": {"n_rows": 41},
    "seed": {"seed": 1},
    "replicates": {"n_replicates": 3},
    "classifiers": {"learning": replace(FAST, classifiers=("LR", "HGB"))},
    "seeds of the classifiers": {"learning": replace(FAST, seeds=(1,))},
    "an estimator": {"learning": replace(FAST, classifiers=(LogisticRegression(),))},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_decides_them_has_them_measured_again(change: dict[str, Any], task: TableTask, tmp_path: Path) -> None:
    Measured(tmp_path, task)
    assert Measured(tmp_path, task, **change).n_tables > 0


@pytest.mark.parametrize("part", ["train", "validation"])
def test_one_other_cell_of_the_real_rows_has_them_measured_again(part: str, task: TableTask, tmp_path: Path) -> None:
    Measured(tmp_path, task)
    parts = {"train": task.train, "validation": task.validation}
    assert Measured(tmp_path, TableTask.of_parts(task.schema, **parts)).n_tables == 0
    age = parts[part]["age"].copy()
    age.iloc[0] += 1
    other = TableTask.of_parts(task.schema, **{**parts, part: parts[part].assign(age=age)})
    assert Measured(tmp_path, other).n_tables == 8


def test_estimators_are_not_kept(task: TableTask, tmp_path: Path) -> None:
    Measured(tmp_path, task, learning=replace(FAST, classifiers=(LogisticRegression(),)))
    assert list(tmp_path.iterdir()) == []


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[:-9],
    "another digit": lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    "no text": lambda content: b"\xff" + content,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_file_is_measured_again(damage: Callable[[bytes], bytes], task: TableTask, tmp_path: Path) -> None:
    first = Measured(tmp_path, task)
    [path] = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    again = Measured(tmp_path, task)
    assert again.n_tables == 8
    assert again.found == first.found
    assert Measured(tmp_path, task).n_tables == 0


def test_folder_that_cannot_be_written_costs_time_alone(task: TableTask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert Measured(tmp_path / "file", task).n_tables == 8
