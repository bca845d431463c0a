from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.few_shot import (
    CoresetSampler,
    FewShotSampler,
    NeighbourSampler,
    ResidualSampler,
    StratifiedSampler,
    UniformSampler,
)
from tagal_dspy.schema import Row, SchemaOverrides
from tagal_dspy.task import TableTask


def unique_rows(target: Sequence[str | float] | None = None, n: int = 60) -> TableTask:
    frame = pd.DataFrame({"x": range(n)})
    return TableTask(frame) if target is None else TableTask(frame.assign(y=pd.Series(target)), target="y")


CLASSES = unique_rows([("a", "b", "b", "c")[i % 4] for i in range(60)])
TASKS = {
    "classes": CLASSES,
    "regression": unique_rows([i / 7 for i in range(60)]),
    "no target": unique_rows(),
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


class FewShotSamplerContract:
    sampler: FewShotSampler

    def draw(self, task: TableTask, n_shots: int = 3, seed: int = 0, slot: Slot = ANY) -> list[Row]:
        return self.sampler.sample(task, n_shots, np.random.default_rng(seed), slot)

    @every_task
    def test_only_training_rows_are_drawn_each_at_most_once(self, task: TableTask) -> None:
        drawn = self.draw(task, n_shots=1000)
        assert Counter(drawn) <= Counter(task.train_rows)

    @every_task
    def test_equal_generators_draw_equal_rows(self, task: TableTask) -> None:
        assert self.draw(task, seed=7) == self.draw(task, seed=7)

    @every_task
    def test_other_generators_draw_other_rows(self, task: TableTask) -> None:
        assert self.draw(task, seed=7) != self.draw(task, seed=8)

    def test_label_draws_rows_of_that_class_alone(self) -> None:
        assert {row[-1] for row in self.draw(CLASSES, n_shots=4, slot=Slot("b"))} == {"b"}

    def test_class_with_too_few_rows_gives_all_it_has(self) -> None:
        of_a = {row for row in CLASSES.train_rows if row[-1] == "a"}
        assert set(self.draw(CLASSES, n_shots=1000, slot=Slot("a"))) == of_a

    def test_class_without_rows_gives_none(self) -> None:
        assert self.draw(CLASSES, slot=Slot("unheard of")) == []

    @every_task
    def test_implausible_rows_are_not_shown(self, task: TableTask) -> None:
        plausible = np.arange(len(task.train)) % 2 == 0
        drawn = self.sampler.sample(task, 1, np.random.default_rng(0), plausible=plausible)
        assert drawn
        assert set(drawn) <= set(task.train_rows[::2])

    def test_class_with_too_few_plausible_rows_shows_them_all(self) -> None:
        nothing = np.zeros(len(CLASSES.train), dtype=bool)
        drawn = self.sampler.sample(CLASSES, 3, np.random.default_rng(0), Slot("b"), plausible=nothing)
        assert len(drawn) == 3

    def test_without_a_target_the_rows_are_counted_altogether(self) -> None:
        assert len(self.draw(TASKS["no target"], n_shots=5)) == 5


class PerClassContract(FewShotSamplerContract):
    def test_every_class_has_as_many_rows_as_asked(self) -> None:
        assert Counter(row[-1] for row in self.draw(CLASSES, n_shots=4)) == {"a": 4, "b": 4, "c": 4}

    def test_rows_are_grouped_by_class_in_the_order_of_the_classes(self) -> None:
        assert [row[-1] for row in self.draw(CLASSES, n_shots=2)] == ["a", "a", "b", "b", "c", "c"]

    def test_regression_draws_from_every_quarter_of_the_target(self) -> None:
        task = TASKS["regression"]
        quarters = pd.qcut(task.train["y"], 4, labels=False).to_numpy()
        quarter_of = dict(zip(task.train_rows, quarters, strict=True))
        assert Counter(int(quarter_of[row]) for row in self.draw(task, n_shots=2)) == {0: 2, 1: 2, 2: 2, 3: 2}

    def test_regression_with_one_dominant_value_is_drawn_from(self) -> None:
        task = unique_rows([0.0] * 50 + [number / 2 for number in range(1, 11)])
        assert self.draw(task, n_shots=2)

    def test_regression_target_of_numbers_in_text_is_drawn_from(self) -> None:
        overrides = SchemaOverrides.model_validate({"columns": {"y": {"kind": "numerical"}}})
        task = TableTask(pd.DataFrame({"x": range(60), "y": [str(i / 7) for i in range(60)]}), "y", overrides)
        assert len(self.draw(task, n_shots=2)) == 8


class TestUniformSampler(FewShotSamplerContract):
    sampler = UniformSampler()


class TestCoresetSampler(PerClassContract):
    sampler = CoresetSampler()

    def test_rows_are_far_from_each_other(self) -> None:
        task = TableTask(pd.DataFrame({"x": np.arange(200.0)}))
        far = sorted(float(row[0] or 0) for row in self.sampler.sample(task, 3, np.random.default_rng(0)))
        assert min(far[1] - far[0], far[2] - far[1]) > 30


class TestStratifiedSampler(PerClassContract):
    sampler = StratifiedSampler()


class TestNeighbourSampler(PerClassContract):
    sampler = NeighbourSampler()

    def test_rows_of_a_class_are_more_alike_than_random_ones(self) -> None:
        frame = pd.DataFrame({"x": np.arange(200.0), "y": ["a", "b"] * 100})
        task, rng = TableTask(frame, target="y"), np.random.default_rng(0)
        near = [float(row[0] or 0) for row in self.sampler.sample(task, 5, rng, Slot("a"))]
        assert max(near) - min(near) < 40


class TestResidualSampler(PerClassContract):
    sampler = ResidualSampler()

    def test_rows_that_are_not_covered_are_shown_next(self) -> None:
        task = TableTask(pd.DataFrame({"x": np.arange(200.0)}))
        accepted = [row for row in task.train_rows if float(row[0] or 0) < 100]
        shown = self.sampler.sample(task, 3, np.random.default_rng(0), accepted=accepted)
        assert all(float(row[0] or 0) > 95 for row in shown)


def test_neighbours_are_near_in_time_and_texts_do_not_count() -> None:
    days = pd.date_range("2024-01-01", periods=200)
    frame = pd.DataFrame({"day": days, "note": [f"text number {i} of them" for i in range(200)]})
    drawn = NeighbourSampler().sample(TableTask(frame), 5, np.random.default_rng(0))
    near = pd.to_datetime([row[0] for row in drawn])
    assert near.max() - near.min() < pd.Timedelta(days=20)
