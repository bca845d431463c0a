from __future__ import annotations

from scripts import shop_frame
from tables import mixed_frame

from tagal_dspy.conditions import Slot
from tagal_dspy.modules.sketches import N_BINS, sketch
from tagal_dspy.task import TableTask

TASK = TableTask(shop_frame(), "buys")


def test_real_and_new_numbers_are_binned_alike() -> None:
    lines = sketch(TASK, [("18", "20.0", "Mons", "no")] * 4).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("age: 18 to "))
    real, new = (line.split("|")[1] for line in lines[start + 1 : start + 3])
    assert len(real) == len(new) == N_BINS
    assert new == "█" + " " * (N_BINS - 1)
    assert len(real.strip()) > N_BINS / 2


def test_shares_of_categories_stand_side_by_side() -> None:
    text = sketch(TASK, [("18", "20.0", "Mons", "no")] * 4)
    assert "real, 100% new  Mons" in text
    assert "real,   0% new  Ghent" in text


def test_rows_of_a_class_are_compared_with_real_rows_of_it() -> None:
    assert "100% real, 100% new  no" in sketch(TASK, [("18", "20.0", "Mons", "no")], Slot("no"))


def test_every_kind_of_column_has_its_lines() -> None:
    task = TableTask(mixed_frame(), "class")
    text = sketch(task, task.schema.to_rows(task.validation))
    assert all(f"{name}:" in text for name in task.schema.names)


def test_no_rows_are_no_plot() -> None:
    assert sketch(TASK, []) == ""
