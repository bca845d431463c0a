from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import Anchors, anchors, calibrate, calibrated
from tagal_dspy.metrics.baselines import marginals
from tagal_dspy.metrics.tables import Matrix


def draw(n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """Two related columns; the measure below sees their relation only."""
    x = rng.normal(size=n_rows)
    return pd.DataFrame({"x": x, "y": x + rng.normal(size=n_rows)})


def relation(table: pd.DataFrame) -> Matrix:
    return np.array([table["x"].corr(table["y"])])


def test_floor_is_zero_and_ceiling_one() -> None:
    between = Anchors(floor=np.array([[0.4], [0.6]]), ceiling=np.array([[0.9], [0.9]]), pool_share=0.0)
    assert calibrated(np.array([0.5]), between).calibrated == 0.0
    assert calibrated(np.array([0.9]), between).calibrated == 1.0
    found = calibrated(np.array([0.7]), between)
    assert (found.raw, found.floor, found.ceiling, found.calibrated) == (0.7, 0.5, 0.9, pytest.approx(0.5))


def test_measures_where_lower_is_better_are_turned_round() -> None:
    between = Anchors(floor=np.array([[0.7], [0.7]]), ceiling=np.array([[0.3], [0.3]]), pool_share=0.0)
    assert calibrated(np.array([0.4]), between).calibrated == pytest.approx(0.75)


def test_hardly_any_gap_does_not_blow_up_noise() -> None:
    between = Anchors(floor=np.array([[0.5], [0.5]]), ceiling=np.array([[0.5], [0.5]]), pool_share=0.0)
    assert calibrated(np.array([0.502]), between).calibrated == pytest.approx(0.2)


def test_same_seed_same_score() -> None:
    rng = np.random.default_rng(0)
    train, made = draw(300, rng), draw(80, rng)
    assert calibrate(relation, synthetic=made, train=train) == calibrate(relation, synthetic=made, train=train)
    assert calibrate(relation, synthetic=made, train=train) != calibrate(relation, synthetic=made, train=train, seed=1)


def test_tables_of_floor_and_ceiling_are_as_long_as_the_one_judged() -> None:
    seen: list[int] = []

    def measure(table: pd.DataFrame) -> Matrix:
        seen.append(len(table))
        return relation(table)

    rng = np.random.default_rng(0)
    calibrate(measure, synthetic=draw(70, rng), train=draw(50, rng), n_replicates=3)
    assert seen == [70] * 7


@pytest.mark.parametrize(("kind", "truth"), [("real", 1.0), ("marginals", 0.0)])
def test_intervals_cover_the_truth_in_nine_of_ten_simulations(kind: str, truth: float) -> None:
    n_covered, values = 0, []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        train, made = draw(300, rng), draw(60, rng)
        if kind == "marginals":
            made["y"] = rng.permutation(made["y"])
        score = calibrate(relation, synthetic=made, train=train, seed=seed)
        n_covered += score.low <= truth <= score.high
        values.append(score.calibrated)
    assert 180 <= n_covered <= 198
    assert np.mean(values) == pytest.approx(truth, abs=0.05)


def test_intervals_cover_the_truth_though_ceiling_tables_share_most_of_their_rows() -> None:
    n_covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        train, made = draw(50, rng), draw(40, rng)
        score = calibrate(relation, synthetic=made, train=train, n_replicates=4, seed=seed)
        n_covered += score.low <= 1 <= score.high
    assert 90 <= n_covered <= 99


def measured_tables(train: pd.DataFrame, n_rows: int) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """The tables of floor and ceiling."""
    seen: list[pd.DataFrame] = []

    def measure(table: pd.DataFrame) -> Matrix:
        seen.append(table)
        return np.zeros(1)

    anchors(measure, train=train, n_rows=n_rows, n_replicates=3)
    return seen[:3], seen[3:]


def test_ceiling_draws_the_same_rows_whatever_the_floor_draws() -> None:
    wide = draw(50, np.random.default_rng(0))
    narrow = wide[["x"]]  # the floor draws each column on its own, and so half as often
    ceilings = [[table["x"].tolist() for table in measured_tables(train, 20)[1]] for train in (narrow, wide)]
    assert ceilings[0] == ceilings[1]


def test_floor_and_ceiling_do_not_draw_alike() -> None:
    # Tables longer than the real one are drawn with replacement: from one stream, both kinds would start alike.
    floors, ceilings = measured_tables(draw(50, np.random.default_rng(0)), 60)
    drawn = [tuple(table["x"]) for table in floors + ceilings]
    assert len(set(drawn)) == len(drawn)


def test_resampled_test_rows_widen_the_interval_unless_shared() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 200)
    shared = np.array([np.concatenate([[value], value + noise]) for value in (0.5, 0.51)])
    between = Anchors(floor=shared, ceiling=shared + 0.4, pool_share=0.0)
    alone = np.concatenate([[0.7], 0.7 + rng.normal(0, 0.1, 200)])
    together = np.concatenate([[0.7], 0.7 + noise])
    widths = [score.high - score.low for score in (calibrated(alone, between), calibrated(together, between))]
    assert widths[0] > 2 * widths[1]


def learned(table: pd.DataFrame, x: Matrix, weights: Matrix) -> Matrix:
    """How well the slope that a table shows predicts test rows, for all weightings of these."""
    slope = np.polyfit(table["x"], table["y"], 1)[0]
    errors = (x[:, 1] - slope * x[:, 0]) ** 2
    return np.asarray(-(weights @ errors) / weights.sum(axis=1))


@pytest.mark.parametrize(("kind", "truth"), [("real", 1.0), ("marginals", 0.0)])
def test_test_rows_that_table_and_anchors_share_are_not_counted_twice(kind: str, truth: float) -> None:
    n_covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        train, made, test = draw(300, rng), draw(40, rng), draw(40, rng).to_numpy()
        weights = np.concatenate([np.ones((1, 40)), rng.multinomial(40, np.full(40, 1 / 40), 100)])
        if kind == "marginals":
            made = marginals(train, 40, rng)
        score = calibrate(lambda t, x=test, w=weights: learned(t, x, w), synthetic=made, train=train, seed=seed)
        n_covered += score.low <= truth <= score.high
    assert 180 <= n_covered <= 198


def test_lucky_table_of_marginals_is_not_called_better_than_marginals() -> None:
    floors = np.array([[0.1], [0.3], [0.5], [0.7], [0.9]])
    between = Anchors(floor=floors, ceiling=np.array([[0.9], [0.91], [0.9], [0.89], [0.9]]), pool_share=0.1)
    score = calibrated(np.array([0.9]), between)
    assert score.low < 0 < 1 < score.high < 1.2


def test_no_gap_between_floor_and_ceiling_leaves_the_interval_wide() -> None:
    noise = np.array([[0.5], [0.52], [0.48]])
    score = calibrated(np.array([0.5]), Anchors(floor=noise, ceiling=noise, pool_share=0.1))
    assert score.high - score.low > 10


def test_too_few_of_anything_is_an_error() -> None:
    with pytest.raises(DataError, match="got 1 replicates, 60 rows and 300 real rows"):
        anchors(relation, train=draw(300, np.random.default_rng(0)), n_rows=60, n_replicates=1)


def between(floor: list[float], ceiling: list[float]) -> Anchors:
    return Anchors(np.array(floor)[:, None], np.array(ceiling)[:, None], 0.1)


def test_separation_is_the_gap_in_standard_deviations_of_a_table() -> None:
    score = calibrated(np.array([0.5]), between([0.4, 0.5, 0.6], [0.7, 0.8, 0.9]))
    assert score.separation == pytest.approx(3.0)
    assert score.is_readable


@pytest.mark.parametrize(
    ("ceiling", "factor"), [([0.5, 0.6, 0.7], 4.0), ([0.42, 0.52, 0.62], None), ([0.4, 0.5, 0.6], None)]
)
def test_score_between_a_floor_and_a_ceiling_that_overlap_cannot_be_read(
    ceiling: list[float], factor: float | None
) -> None:
    score = calibrated(np.array([0.5]), between([0.4, 0.5, 0.6], ceiling))
    assert not score.is_readable
    assert score.factor_needed == (None if factor is None else pytest.approx(factor))


def test_separation_is_the_same_where_lower_is_better() -> None:
    up, down = between([0.4, 0.5, 0.6], [0.7, 0.8, 0.9]), between([-0.4, -0.5, -0.6], [-0.7, -0.8, -0.9])
    assert calibrated(np.array([0.5]), up).separation == calibrated(np.array([-0.5]), down).separation


def test_noise_of_the_test_rows_lowers_the_separation() -> None:
    steady = Anchors(np.array([[0.4, 0.4, 0.4], [0.6, 0.6, 0.6]]), np.array([[0.8, 0.8, 0.8], [1.0, 1.0, 1.0]]), 0.1)
    noisy = Anchors(np.array([[0.4, 0.6, 0.2], [0.6, 0.8, 0.4]]), np.array([[0.8, 0.6, 1.0], [1.0, 0.8, 1.2]]), 0.1)
    draws = np.array([0.5, 0.5, 0.5])
    assert calibrated(draws, noisy).separation < calibrated(draws, steady).separation
