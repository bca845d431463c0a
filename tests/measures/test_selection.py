"""Rows that are selected from a pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagal_dspy.conditions import ANY, Condition, Slot
from tagal_dspy.measures.selection import Selection, select_rows
from tagal_dspy.schema import Row
from tagal_dspy.task import TableTask

A, B = Slot("a"), Slot("b")


def people(n: int, seed: int, dependence: float = 0.8, bias: float = 0.0) -> pd.DataFrame:
    """Rows whose columns depend on each other; biased ones are older and more often cooks than they should be."""
    rng = np.random.default_rng(seed)
    age = np.clip(rng.normal(45 + 12 * bias, 12, n), 18, 90).round().astype(int)
    is_cook = rng.random(n) < 0.3 + 0.3 * bias
    is_a = np.where(rng.random(n) < dependence, age > 45, rng.random(n) < 0.5)
    return pd.DataFrame(
        {
            "age": age,
            "job": np.where(is_cook, "cook", np.where(rng.random(n) < 0.5, "smith", "clerk")),
            "pay": np.where(is_cook, 10, 20) + age // 10,
            "kind": np.where(is_a, "a", "b"),
        }
    )


@pytest.fixture(scope="module")
def task() -> TableTask:
    return TableTask(people(600, 0), "kind")


def pool_of(task: TableTask, n: int, seed: int = 1) -> list[Row]:
    return list(task.schema.to_rows(people(n, seed, dependence=0.4, bias=0.5)))


def by_label(pool: Sequence[Row]) -> list[Slot]:
    return [Slot(str(row[-1])) for row in pool]


def selected(pool: Sequence[Row], found: Selection) -> list[Row]:
    return [pool[place] for place in found.places]


def test_selected_rows_are_nearer_to_the_training_rows_than_random_ones(task: TableTask) -> None:
    pool = pool_of(task, 300)
    found = select_rows(task, pool, [ANY] * 300, {ANY: 100})
    assert found.after < 0.5 * found.before
    ages = pd.Series([float(row[0] or "nan") for row in selected(pool, found)])
    mean = task.train["age"].mean()
    assert abs(ages.mean() - mean) < 0.3 * abs(pd.Series([float(row[0] or 0) for row in pool]).mean() - mean)


def test_greater_pools_give_nearer_rows(task: TableTask) -> None:
    distances = []
    for n_pool in (100, 150, 200, 400, 800):
        per_seed = []
        for seed in range(5):
            pool = pool_of(task, n_pool, 10 + seed)
            per_seed.append(select_rows(task, pool, [ANY] * n_pool, {ANY: 100}, fits_noise=True).after)
        distances.append(np.mean(per_seed))
    assert distances == sorted(distances, reverse=True)


@pytest.mark.parametrize("slot", [ANY, A, B, "age < 40", "job == 'cook'"], ids=str)
def test_rows_of_a_slot_are_selected_to_be_like_its_training_rows(slot: Slot | str, task: TableTask) -> None:
    slot = Slot(condition=Condition.parse(slot, task.schema)) if isinstance(slot, str) else slot
    real, pool = (
        [row for row in rows if slot.takes(row, task.schema)] for rows in (task.train_rows, pool_of(task, 900))
    )
    found = select_rows(task, pool, [slot] * len(pool), {slot: 60})

    def mean_age(rows: Sequence[Row]) -> float:
        return float(np.mean([float(row[0] or "nan") for row in rows]))

    assert found.after < found.before
    wanted = mean_age(real)
    assert abs(mean_age(selected(pool, found)) - wanted) < max(0.5 * abs(mean_age(pool) - wanted), 1.0)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_the_pool_changes_nothing(task: TableTask, random: object) -> None:
    pool = pool_of(task, 120)
    order = list(range(120))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [pool[place] for place in order]
    first = select_rows(task, pool, by_label(pool), {A: 20, B: 10}, seed=3)
    second = select_rows(task, shuffled, by_label(shuffled), {A: 20, B: 10}, seed=3)
    assert Counter(selected(pool, first)) == Counter(selected(shuffled, second))
    assert first[1:] == second[1:]


@pytest.mark.parametrize("quotas", [{A: 30, B: 10}, {A: 1, B: 1}, {A: 0, B: 25}, {B: 40}])
def test_quotas_are_exact(task: TableTask, quotas: dict[Slot, int]) -> None:
    pool = pool_of(task, 200)
    found = select_rows(task, pool, by_label(pool), quotas)
    counts = Counter(row[-1] for row in selected(pool, found))
    assert counts == {slot.label: n for slot, n in quotas.items() if n}
    assert len(set(found.places)) == len(found.places)


def test_pool_that_is_as_large_as_the_quotas_is_selected_whole(task: TableTask) -> None:
    pool = pool_of(task, 50)
    assert select_rows(task, pool, [ANY] * 50, {ANY: 50}).places == list(range(50))


def test_rows_are_not_nearer_than_sampling_noise_unless_asked_for() -> None:
    task = TableTask(people(60, 0), "kind")
    pool = pool_of(task, 2_000)
    noise_kept = select_rows(task, pool, [ANY] * 2_000, {ANY: 40})
    fitted = select_rows(task, pool, [ANY] * 2_000, {ANY: 40}, fits_noise=True)
    assert fitted.after < noise_kept.after < noise_kept.before


def test_rows_equal_to_training_rows_are_not_preferred(task: TableTask) -> None:
    others = task.schema.to_rows(people(400, 7))
    pool = [*task.train_rows[:200], *others[:200]]
    found = select_rows(task, pool, [ANY] * 400, {ANY: 100})
    n_copies = sum(place < 200 for place in found.places)
    assert 30 <= n_copies <= 70


def test_relations_that_chance_explains_are_not_imposed() -> None:
    rng = np.random.default_rng(0)
    few = pd.DataFrame({name: rng.choice(list("xyz"), 60) for name in "abcd"})
    task = TableTask(few, withholds=False)
    independent = pd.DataFrame({name: rng.choice(list("xyz"), 2_000) for name in "abcd"})
    pool = list(task.schema.to_rows(independent))
    kept = pd.DataFrame(selected(pool, select_rows(task, pool, [ANY] * 2_000, {ANY: 200}, fits_noise=True)))
    gaps = []
    for one in range(3):
        both = pd.crosstab(kept[one], kept[one + 1], normalize=True).to_numpy()
        apart = np.outer(both.sum(1), both.sum(0))
        real = pd.crosstab(few.iloc[:, one], few.iloc[:, one + 1], normalize=True).to_numpy()
        gaps.append((np.abs(both - apart).sum(), np.abs(real - np.outer(real.sum(1), real.sum(0))).sum()))
    assert all(ours < 0.6 * chance for ours, chance in gaps)


@pytest.mark.slow
def test_ten_thousand_of_thirty_thousand_rows_take_seconds() -> None:
    import time

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{i}": rng.choice(list("abcdefgh"), 40_000) for i in range(20)})
    for i in range(10):
        frame[f"c{i}"] = rng.normal(size=40_000).round(3) + (frame["c11"] == "a")
    task, others = TableTask(frame.iloc[:10_000]), frame.iloc[10_000:].copy()
    others["c12"] = np.where(np.arange(30_000) % 2, "a", "b")
    pool = list(task.schema.to_rows(others))
    start = time.process_time()
    select_rows(task, pool, [ANY] * 30_000, {ANY: 10_000})
    assert time.process_time() - start < 20
