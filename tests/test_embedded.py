"""The embedded model from end to end, on few rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dspy
import pandas as pd
import pytest

from tagal_dspy import SynthLoop, TableTask, load_dataset, make_lm
from tagal_dspy.modules import METHODS
from tagal_dspy.settings import CodecName, Method, run_settings

PENGUINS = load_dataset("penguins")


@pytest.fixture(scope="module")
def task() -> TableTask:
    return TableTask(PENGUINS.frame, target="species")


def test_default_program_writes_valid_new_rows_with_the_class_shares(task: TableTask) -> None:
    settings = run_settings("grounded", "continuation")
    with dspy.context(lm=make_lm("local", cache=False)):
        table = SynthLoop(settings)(task=task, n_rows=11, seed=0).table
    real = PENGUINS.frame
    assert list(table.dtypes) == list(real.dtypes)
    assert table["species"].value_counts().to_dict() == {"Adelie": 5, "Gentoo": 4, "Chinstrap": 2}
    assert table.merge(real.drop_duplicates()).empty
    assert not table.duplicated().any()
    for name in ("bill_length_mm", "body_mass_g", "year"):
        assert table[name].dropna().between(real[name].min(), real[name].max()).all()


@pytest.mark.parametrize("method", list(METHODS))
def test_published_methods_run(task: TableTask, method: Method) -> None:
    asked = {"n_iter": 2, "n_shots": 2, "rows_per_draw": 2, "rounds_ahead": 1, "critic_max_tokens": None}
    settings = run_settings("paper", method=method, **asked)
    with dspy.context(lm=make_lm("local", cache=False, max_tokens=40)):
        prediction = METHODS[method](settings)(task=task, n_rows=3, seed=0)
    assert len(prediction.table) == 3
    assert prediction.turns[0].critique


@pytest.mark.parametrize("codec", ["json", "sentence"])
def test_other_codecs_are_written_without_a_reject(task: TableTask, codec: CodecName) -> None:
    settings = run_settings("grounded", "continuation", codec=codec, rounds_ahead=2)
    with dspy.context(lm=make_lm("local", cache=False)):
        prediction = SynthLoop(settings)(task=task, n_rows=3, seed=0)
    assert len(prediction.table) == 3
    assert {reject.reason for reject in prediction.rejects} <= {"duplicate", "collision", "label_noise", "quota_full"}


def test_regression_and_a_table_without_target_are_written() -> None:
    frame = PENGUINS.frame[["bill_length_mm", "flipper_length_mm", "body_mass_g"]].dropna()
    for target in ("body_mass_g", None):
        task = TableTask(frame, target=target)
        with dspy.context(lm=make_lm("local", cache=False)):
            table = SynthLoop(run_settings("grounded", "continuation"))(task=task, n_rows=4, seed=0).table
        assert len(table) == 4


@pytest.fixture
def own_cache(tmp_path: Path) -> Iterator[None]:
    dspy.configure_cache(enable_disk_cache=True, enable_memory_cache=False, disk_cache_dir=str(tmp_path))
    yield
    dspy.configure_cache(disk_cache_dir=os.environ["DSPY_CACHEDIR"])


@pytest.mark.usefixtures("own_cache")
def test_answers_are_replayed_from_the_cache(task: TableTask) -> None:
    tables: list[pd.DataFrame] = []
    usages = []
    for _ in range(2):
        with dspy.context(lm=make_lm("local")):
            prediction = SynthLoop(run_settings("grounded", "continuation"))(task=task, n_rows=4, seed=1)
        tables.append(prediction.table)
        usages.append(prediction.usage)
    assert tables[0].equals(tables[1])
    assert usages[0]
    assert usages[1] == {}
