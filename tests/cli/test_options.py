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
