"""Label curation rejects what the real rows contradict, and leaves a noisy table its noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.measures.curation import LEAST_PLAUSIBLE, LabelCurator
from tagal_dspy.task import TableTask


def task(noise: float) -> TableTask:
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, 600)
    flipped = rng.random(600) < noise
    frame = pd.DataFrame(
        {"age": age, "luck": rng.random(600).round(3), "old": np.where((age > 50) ^ flipped, "yes", "no")}
    )
    return TableTask(frame, "old")


def test_rows_with_the_wrong_label_are_rejected_and_those_with_the_right_one_kept() -> None:
    rows = [("20", "0.5", "no"), ("75", "0.5", "yes"), ("75", "0.5", "no"), ("20", "0.5", "yes")]
    kept, noisy = LabelCurator(task(noise=0.0)).curated(rows)
    assert kept == rows[:2]
    assert [reject.reason for reject in noisy] == ["label_noise", "label_noise"]
    assert "'no' a chance of " in noisy[0].detail


def test_real_rows_are_rejected_about_as_often_as_the_threshold_says_whatever_their_noise() -> None:
    for noise in (0.1, 0.3):
        noisy_task = task(noise)
        test_rows = noisy_task.schema.to_rows(noisy_task.test)
        kept, _ = LabelCurator(noisy_task).curated(test_rows)
        assert 1 - len(kept) / len(test_rows) < LEAST_PLAUSIBLE + 0.1


def test_training_rows_that_the_others_contradict_are_said_to_be_implausible() -> None:
    clear = task(noise=0.05)
    plausible = LabelCurator(clear).plausible
    flipped = (clear.train["age"] > 50) != (clear.train["old"] == "yes")
    assert plausible.shape == (len(clear.train),)
    assert not plausible[flipped].any()
    assert plausible[~flipped].mean() > 0.85


def test_rows_that_the_forest_does_not_learn_from_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagal_dspy.measures.curation.MAX_ROWS", 100)
    plausible = LabelCurator(task(noise=0.3)).plausible
    judged = np.arange(len(plausible)) % 4 == 0
    assert plausible[~judged].all()
    assert not plausible[judged].all()


def test_number_far_from_what_the_real_rows_let_expect_is_rejected_and_one_near_it_kept() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(600).round(3)
    regression = TableTask(pd.DataFrame({"x": x, "y": (10 * x + rng.normal(0, 0.3, 600)).round(2)}), "y")
    kept, noisy = LabelCurator(regression).curated([("0.5", "5.05"), ("0.5", "9.00"), ("0.9", "9.00")])
    assert kept == [("0.5", "5.05"), ("0.9", "9.00")]
    [reject] = noisy
    assert reject.reason == "label_noise"
    assert reject.detail.endswith("instead of the label 9.00")


def test_real_numbers_are_rejected_about_as_often_as_the_threshold_says() -> None:
    rng = np.random.default_rng(1)
    x = rng.random(600).round(3)
    regression = TableTask(pd.DataFrame({"x": x, "y": np.exp(3 * x + rng.normal(0, 0.3, 600)).round(2)}), "y")
    kept, noisy = LabelCurator(regression).curated(test_rows := regression.schema.to_rows(regression.test))
    assert abs(len(noisy) / len(test_rows) - LEAST_PLAUSIBLE) < 0.1
    assert len(kept) + len(noisy) == len(test_rows)


def test_table_without_a_target_has_nothing_to_curate() -> None:
    untargeted = TableTask(pd.DataFrame({"x": range(50), "y": [i * 0.5 for i in range(50)]}))
    assert LabelCurator(untargeted).curated([("1", "900.0")]) == ([("1", "900.0")], [])
