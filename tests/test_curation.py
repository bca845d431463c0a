"""Label curation rejects what the real rows contradict, and leaves a noisy table its noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tagal_dspy.curation import LEAST_PLAUSIBLE, LabelCurator
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


def test_table_without_classes_has_nothing_to_curate() -> None:
    regression = TableTask(pd.DataFrame({"x": range(50), "y": [i * 0.5 for i in range(50)]}), "y")
    assert LabelCurator(regression).curated([("1", "900.0")]) == ([("1", "900.0")], [])
