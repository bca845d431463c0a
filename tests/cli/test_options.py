from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tagal_dspy.cli.options import Options, read_options
from tagal_dspy.errors import SettingsError

FILE = """
where = "age > 3"
balance = true

[rows_per]
"<=50K" = 3
yes = 4

[[rules]]
kind = "fixed-increments"
column = "age"
increment = 5
"""


def options(tmp_path: Path, text: str = "", **given: Any) -> Options:
    (tmp_path / "run.toml").write_text(text)
    return read_options(tmp_path / "run.toml", None, given)


def test_file_says_what_rows_are_wanted(tmp_path: Path) -> None:
    found = options(tmp_path, FILE)
    assert (found.where, found.balance, found.rows_per, found.rows) == ("age > 3", True, {"<=50K": 3, "yes": 4}, 7)
    assert found.rules == [{"kind": "fixed-increments", "column": "age", "increment": 5}]


def test_command_line_wins(tmp_path: Path) -> None:
    found = options(tmp_path, FILE, where="age < 3", rows_per={"no": 2}, balance=None, rows=9)
    assert (found.where, found.balance, found.rows_per, found.rows) == ("age < 3", True, {"no": 2}, 9)


def test_nothing_is_wanted_by_default(tmp_path: Path) -> None:
    found = options(tmp_path)
    assert (found.where, found.balance, found.rows_per, found.rules, found.rows) == (None, False, None, [], 100)


@pytest.mark.parametrize("text", ["rows_per = 3", "[rows_per]\nyes = -1", "[rows_per]\nyes = 'x'", "where = 3"])
def test_other_types_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"rows_per|where"):
        options(tmp_path, text)


def test_counts_of_zero_leave_the_error_to_the_quotas(tmp_path: Path) -> None:
    assert options(tmp_path, rows_per={"yes": 0}).rows == 1


@pytest.mark.parametrize(
    "text",
    ['budget = "5calls"\nn_iter = 4', "[budget]\nmax_calls = 5\n[settings]\nn_iter = 4", "max_calls = 5\nn_iter = 4"],
)
def test_budget_and_settings_are_read_wherever_a_file_puts_them(tmp_path: Path, text: str) -> None:
    found = options(tmp_path, text)
    assert (found.budget.max_calls, found.settings) == (5, {"n_iter": 4})
    assert options(tmp_path, text, max_calls=6).budget.max_calls == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[budget]\nmax_call = 5", "did you mean 'max_calls'"),
        ("[settings]\nn_itr = 5", "did you mean 'n_iter'"),
        ("n_iter = 2\n[settings]\nn_iter = 5", "n_iter is given twice"),
        ("budget = 5", "budget is 5; expected a section"),
        ('budget = "5"', "write it as 500calls"),
        ("table = 5", "table is 5; expected a section"),
        ("settings = [1]", "settings is .1.; expected a section"),
    ],
)
def test_sections_that_cannot_be_read_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        options(tmp_path, text)
