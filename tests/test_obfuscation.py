"""An obfuscated task is the same task under other names."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from tables import mixed_frame

from tagal_dspy import Obfuscated, SchemaOverrides, TableTask, obfuscated
from tagal_dspy.card import make_card
from tagal_dspy.errors import DataError
from tagal_dspy.metrics import Learning, TableMetric, baseline
from tagal_dspy.task import find_task


@pytest.fixture(scope="module")
def task() -> TableTask:
    """Ids, moments, text, a constant, an unused level, truth values, missing cells."""
    frame = mixed_frame(120).assign(member=np.arange(120) % 3 == 0)
    notes = SchemaOverrides(name="orders", notes="of a shop", columns={"city": {"description": "of the buyer"}})
    return TableTask(frame, "class", notes, examples=frame.sample(frac=0.8, random_state=42).head(2))


@pytest.fixture(scope="module")
def other(task: TableTask) -> Obfuscated:
    return obfuscated(task, seed=3)


def test_rows_of_an_expert_are_renamed_too(task: TableTask, other: Obfuscated) -> None:
    assert len(other.task.examples) == 2
    assert task.schema.to_rows(other.restore(other.task.schema.to_frame(other.task.examples))) == task.examples
    assert other.task.examples != task.examples


def test_a_task_made_from_another_has_all_that_a_task_has(task: TableTask, other: Obfuscated) -> None:
    assert set(vars(task)) - {"real_rows", "train_rows"} <= set(vars(other.task))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_comes_back_as_it_was_but_for_its_ids(task: TableTask, other: Obfuscated, split: str) -> None:
    real, back = getattr(task, split), other.restore(getattr(other.task, split))
    assert task.schema.to_rows(back) == task.schema.to_rows(real)
    assert back.dtypes.to_dict() == real.dtypes.to_dict()
    assert not set(back["id"]) & set(real["id"])


def test_no_name_category_or_note_is_left(task: TableTask, other: Obfuscated) -> None:
    categories = {text for known in other.categories.values() for text in known}
    said = make_card(other.task.schema)
    assert not [word for word in ("shop", "orders", "buyer") if word in said]
    assert not [word for word in {*task.train.columns, *categories} if f'"{word}"' in said]
    shown = other.task.schema.to_rows(other.task.train)
    assert not categories & {text for row in shown for text in row if text}


def test_numbers_moments_and_texts_stay(task: TableTask, other: Obfuscated) -> None:
    for name in ("amount", "when", "born", "note"):
        pd.testing.assert_series_equal(task.train[name], other.task.train[other.names[name]], check_names=False)
        assert other.task.schema[other.names[name]].kind == task.schema[name].kind


def test_missing_cells_stay_missing(task: TableTask, other: Obfuscated) -> None:
    renamed = other.task.train[[other.names[name] for name in task.train.columns]]
    assert renamed.isna().to_numpy().tolist() == task.train.isna().to_numpy().tolist()


def test_order_of_categories_tells_nothing(task: TableTask) -> None:
    orders = {tuple(obfuscated(task, seed).categories["class"].values()) for seed in range(20)}
    assert len(orders) == 6


def test_category_of_test_rows_alone_is_renamed_and_not_offered() -> None:
    frame = pd.DataFrame({"x": range(50), "c": ["common"] * 50, "y": ["no", "yes"] * 25})
    held_out = frame.drop(frame.sample(frac=0.8, random_state=42).index).index[0]
    frame.loc[held_out, "c"] = "rare"
    task = TableTask(frame, target="y")
    other = obfuscated(task)
    assert other.task.schema["x2"].categories == (other.categories["c"]["common"],)  # type: ignore[union-attr]
    assert other.restore(other.task.test)["c"].tolist() == task.test["c"].tolist()


def test_restored_table_scores_as_the_obfuscated_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(240).round(2)
    frame = pd.DataFrame({"x": x, "c": np.where(x + rng.random(240) > 1, "b", "a"), "day": rng.integers(0, 9, 240)})
    task = TableTask(frame.assign(y=np.where(x + rng.random(240) > 1, "yes", "no")), target="y")
    other = obfuscated(task)
    made = baseline("bootstrap_noise", task=other.task, n_rows=40)
    metric = TableMetric(learning=Learning(classifiers=("LR",), seeds=(0,), n_bootstrap=20))
    found, back = metric.evaluate(other.task, made), metric.evaluate(task, other.restore(made))
    # Not to the bit: rows sort by other texts, so that floor and ceiling draw other rows.
    assert back.quality is not None
    assert found.quality is not None
    assert back.quality.score == pytest.approx(found.quality.score)
    assert back.utility is not None
    assert found.utility is not None
    assert back.utility.value == pytest.approx(found.utility.value, abs=1e-3)


def test_same_seed_gives_the_same_task_and_it_is_found_by_its_id(task: TableTask, other: Obfuscated) -> None:
    again = obfuscated(task, seed=3)
    assert again.task.id == other.task.id != task.id
    assert find_task(other.task.id).train.equals(other.task.train)
    assert pickle.loads(pickle.dumps(other.task)).id == other.task.id


def test_foreign_category_is_refused_by_name(other: Obfuscated) -> None:
    foreign = other.task.train.assign(**{other.names["class"]: "king"})
    with pytest.raises(DataError, match=r"has no categories \['king'\]"):
        other.restore(foreign)


def test_empty_table_comes_back_empty(task: TableTask, other: Obfuscated) -> None:
    assert list(other.restore(other.task.train.head(0)).columns) == list(task.train.columns)


def test_repr_shows_no_category(other: Obfuscated) -> None:
    assert "city 1" not in repr(other)
