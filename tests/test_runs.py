"""A run is recorded once and read back as it was."""

from __future__ import annotations

from pathlib import Path

import dspy
import pytest
from scripts import shop_frame, shop_task, shop_writer

from tagal_dspy.errors import DataError, OutputError
from tagal_dspy.modules import SynthLoop
from tagal_dspy.reports import markdown_report
from tagal_dspy.runs import load_run, save_run
from tagal_dspy.settings import run_settings
from tagal_dspy.testing import scripted_lm


@pytest.fixture(scope="module")
def prediction() -> dspy.Prediction:
    with dspy.context(lm=scripted_lm(shop_writer(), cache=False)):
        return SynthLoop(run_settings("grounded", n_shots=2))(task=shop_task(), n_rows=20, seed=4)


def save(path: Path, prediction: dspy.Prediction) -> None:
    task = shop_task()
    settings = run_settings("grounded", n_shots=2)
    save_run(path, task_id=task.id, seed=4, settings=settings, schema=task.schema, prediction=prediction)


def test_recorded_run_reads_back(tmp_path: Path, prediction: dspy.Prediction) -> None:
    save(tmp_path / "run.sqlite", prediction)
    record = load_run(tmp_path / "run.sqlite")
    assert record.table.equals(prediction.table)
    assert record.rejects == prediction.rejects
    assert (record.seed, record.settings.n_shots, record.task_id) == (4, 2, shop_task().id)
    assert [turn["critique"] for turn in record.turns] == [turn.critique for turn in prediction.turns]


def test_recorded_run_holds_no_few_shot(tmp_path: Path, prediction: dspy.Prediction) -> None:
    save(tmp_path / "run.sqlite", prediction)
    content = (tmp_path / "run.sqlite").read_bytes()
    assert not any(",".join(map(str, row)).encode() in content for row in shop_frame().itertuples(index=False))


def test_existing_record_is_kept(tmp_path: Path, prediction: dspy.Prediction) -> None:
    (tmp_path / "run.sqlite").write_text("precious")
    with pytest.raises(OutputError, match="recorded once"):
        save(tmp_path / "run.sqlite", prediction)


def test_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_text("no database")
    with pytest.raises(DataError, match="is no recorded run"):
        load_run(tmp_path / "run.sqlite")
    with pytest.raises(DataError, match="there is no run"):
        load_run(tmp_path / "missing.sqlite")


def test_report_counts_rows_and_rejects(prediction: dspy.Prediction) -> None:
    report = markdown_report(prediction, {"utility": 0.91})
    assert "20 rows accepted" in report
    assert "| utility | 0.910 |" in report
    assert "| scripted/model |" in report
