"""The committed experiments can be run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tagal_dspy.cli.options import merged_options
from tagal_dspy.cli.studying import StudyOptions
from tagal_dspy.settings import read_toml, run_settings
from tagal_dspy.study import Space

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
CONFIGS = sorted((EXPERIMENTS / "configs").glob("*.toml"))
STUDIES = [path for path in CONFIGS if path.name.startswith("study_")]


@pytest.mark.parametrize("config", [path for path in CONFIGS if path not in STUDIES], ids=lambda path: path.stem)
def test_every_run_of_a_config_has_settings_that_exist(config: Path) -> None:
    plan = read_toml(config)
    assert plan["seeds"]
    for run in plan["run"]:
        run_settings("grounded", "continuation", **run.get("settings", {}))
        assert {"table", "target", "rows"} <= run.keys()


@pytest.mark.parametrize("config", STUDIES, ids=lambda path: path.stem)
def test_every_study_of_a_config_has_a_space_and_options_that_exist(config: Path) -> None:
    plan = read_toml(config)
    Space(plan.pop("bounds"), style="continuation")
    StudyOptions(**plan.pop("study"))
    assert merged_options(plan, None, {}).rows


def run(script: str, out: Path, *, n_seeds: int) -> list[str]:
    """What a command says of a small table."""
    command = [sys.executable, EXPERIMENTS / f"{script}.py", "--tables", "penguins", "--seeds", str(n_seeds)]
    found = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=False)
    assert not found.stderr
    return found.stdout.splitlines()


def test_coverage_is_told_from_a_line_for_each_simulation_and_lines_are_not_made_again(tmp_path: Path) -> None:
    out = tmp_path / "coverage.csv"
    said = run("coverage", out, n_seeds=1)
    assert len([line for line in said if " of 1 intervals hold " in line]) == 4
    first = pd.read_csv(out)
    assert first[["table", "seed"]].to_numpy().tolist() == [["penguins", 0]]
    out.write_text(first.assign(real_utility=0.123).to_csv(index=False))
    assert any("utility is 0.12" in line for line in run("coverage", out, n_seeds=1))


@pytest.mark.slow
def test_sanity_holds_for_a_seed_of_a_small_table(tmp_path: Path) -> None:
    said = run("sanity", tmp_path / "sanity.csv", n_seeds=1)
    assert [line.split()[0] for line in said[1:]] == ["holds"] * 5


@pytest.mark.slow
def test_killed_run_is_resumed_to_the_same_table(tmp_path: Path) -> None:
    command = [sys.executable, EXPERIMENTS / "kill.py", "--kills", "3", "--rows", "20", "--out", tmp_path / "kill.csv"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert pd.read_csv(tmp_path / "kill.csv")["tables_are_equal"].all()


def test_broken_answers_end_in_no_exception_and_in_no_invalid_row(tmp_path: Path) -> None:
    out = tmp_path / "fuzz.csv"
    command = [sys.executable, EXPERIMENTS / "fuzz.py", "--answers", "1500", "--tables", "hostile", "--out", out]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    total = pd.read_csv(out).iloc[-1]
    assert total["answers"] == 1500
    assert total["rows_accepted"] > 1000
