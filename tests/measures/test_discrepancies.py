"""Planted differences are found and named first; real rows raise no alarm."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.measures.discrepancies import measure
from tagal_dspy.schema import Reject
from tagal_dspy.signatures import Discrepancy
from tagal_dspy.task import TableTask

SEEDS = range(20)


def people(n_rows: int, seed: int) -> pd.DataFrame:
    """Age, wage and job hang together; loss is nearly always zero; some wages are missing."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, n_rows)
    wage = np.round(age * 40 + rng.normal(0, 400, n_rows))
    frame = pd.DataFrame(
        {
            "age": age,
            "wage": np.where(rng.random(n_rows) < 0.1, np.nan, wage),
            "job": np.where(age + rng.normal(0, 8, n_rows) > 50, "manager", rng.choice(["clerk", "cook"], n_rows)),
            "loss": np.where(rng.random(n_rows) < 0.03, rng.integers(1000, 3000, n_rows), 0),
        }
    )
    return frame.assign(rich=np.where(wage > 2000, "yes", "no"))


@pytest.fixture(scope="module")
def task() -> TableTask:
    return TableTask(people(800, seed=1000), target="rich")


def measured(task: TableTask, frame: pd.DataFrame) -> list[Discrepancy]:
    return measure(task, task.schema.to_rows(frame))


def test_real_rows_raise_no_alarm(task: TableTask) -> None:
    assert sum(bool(measured(task, people(40, seed))) for seed in SEEDS) <= 1


def test_few_real_rows_raise_no_alarm(task: TableTask) -> None:
    assert sum(bool(measured(task, people(8, seed))) for seed in SEEDS) <= 1


def test_stuck_value_is_named_first_with_its_numbers(task: TableTask) -> None:
    for seed in SEEDS:
        frame = people(40, seed).assign(loss=lambda each: np.where(np.arange(len(each)) % 5 < 3, 1862, each["loss"]))
        first = measured(task, frame)[0]
        assert first.columns == ("loss",)
        assert first.text.startswith('"loss" is ')
    assert first.text == '"loss" is 1862 in 60 % of the rows, 0 % in the real table'


def test_lost_class_is_named_first(task: TableTask) -> None:
    for seed in SEEDS:
        rows = people(200, seed)
        first = measured(task, rows[rows["rich"] == "no"].head(40))[0]
        assert first.columns == ("rich",)


def test_broken_relation_with_the_target_is_named_first(task: TableTask) -> None:
    for seed in SEEDS:
        rows = people(60, seed)
        shuffled = rows["rich"].sample(frac=1, random_state=seed).to_numpy()
        first = measured(task, rows.assign(rich=shuffled))[0]
        assert first.kind == "target"


def test_lost_class_does_not_count_as_broken_relations(task: TableTask) -> None:
    rows = people(200, seed=0)
    kinds = {each.kind for each in measured(task, rows[rows["rich"] == "no"].head(30))}
    assert "target" not in kinds


def test_missing_values_that_are_missing_are_found(task: TableTask) -> None:
    rows = people(100, seed=0)
    assert any(each.kind == "missing" for each in measured(task, rows.assign(wage=rows["wage"].fillna(2000.0))))


def test_duplicates_and_copies_are_found(task: TableTask) -> None:
    kinds = {each.kind for each in measured(task, pd.concat([task.train.head(20)] * 2, ignore_index=True))}
    assert {"duplicates", "collisions"} <= kinds


def test_frequent_reject_reason_comes_last_with_an_example(task: TableTask) -> None:
    rejects = [Reject("out_of_range", "", '"age" is 900')] * 10
    last = measure(task, task.schema.to_rows(people(30, seed=0)), rejects)[-1]
    assert last.text == '10 of 40 rows were rejected: out_of_range, e.g. "age" is 900'


def test_no_rows_show_no_difference(task: TableTask) -> None:
    assert measure(task, []) == []


def test_table_of_one_column_is_measured() -> None:
    lone = TableTask(pd.DataFrame({"x": ["a", "b"] * 50}))
    assert measured(lone, pd.DataFrame({"x": ["a"] * 40}))[0].value == "a"


def test_of_many_rare_categories_the_stuck_one_alone_is_named() -> None:
    frame = pd.DataFrame({"x": [f"v{number}" for number in range(20_000)]})
    rows = pd.DataFrame({"x": ["v0"] * 10 + [f"w{number}" for number in range(30)]})
    shares = [each for each in measured(TableTask(frame), rows) if each.kind == "share"]
    assert [each.value for each in shares] == ["v0"]


def letters(n_rows: int, seed: int, start: str = "2024-01-01", words: int = 8) -> pd.DataFrame:
    """Letters with the day they came, an id and a text."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": range(n_rows),
            "day": pd.Timestamp(start) + pd.to_timedelta(rng.integers(0, 300, n_rows), unit="D"),
            "text": [
                " ".join(rng.choice(["alpha", "beta", "gamma"], rng.integers(2, words))) + f" {i}"
                for i in range(n_rows)
            ],
        }
    )


def test_dates_and_texts_of_real_rows_raise_no_alarm() -> None:
    task = TableTask(letters(400, seed=1000))
    assert sum(bool(measured(task, letters(40, seed).assign(text=lambda t: t["text"] + " x"))) for seed in SEEDS) <= 1


def test_shifted_dates_are_named_with_a_day() -> None:
    first = measured(TableTask(letters(400, seed=1000)), letters(40, seed=0, start="2024-05-15"))[0]
    assert first.columns == ("day",)
    assert '"day" is at most 2024-' in first.text


def test_texts_that_are_too_short_are_named_with_their_length() -> None:
    first = measured(TableTask(letters(400, seed=1000)), letters(40, seed=0, words=3))[0]
    assert first.columns == ("text",)
    assert first.text.startswith('"text" has at most ')
    assert "characters in 100 % of the rows" in first.text


def test_stuck_text_is_shortened() -> None:
    task = TableTask(letters(400, seed=1000, words=40))
    rows = letters(40, seed=0).assign(text="the same long text again and again " * 4)
    stuck = next(each for each in measured(task, rows) if each.kind == "stuck")
    assert stuck.text.startswith('"text" is the same long text')
    assert len(stuck.text) < 160
