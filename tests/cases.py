"""Inputs that once failed; they lie beside the repository, and tests that need them are skipped without."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "cases"

CASES = [
    ("03_zip_leading_zeros.csv", "churned"),
    ("04_codes_trailing_zeros.csv", "y"),
    ("06_currency_percent_thousands.csv", "y"),
    ("07_semicolon_decimal_comma.csv", "y"),
    ("08_latin1.csv", "y"),
    ("10_us_dates_unpadded.csv", "y"),
    ("11_int_with_missing.csv", "y"),
    ("12_all_missing_and_trailing_comma.csv", "y"),
    ("13_iso_offset.csv", "y"),
    ("19_eval_real.csv", "y"),
]


def case(name: str) -> Path:
    """The file of that name."""
    if not (FOLDER / name).is_file():
        pytest.skip(f"the case {name} is not here")
    return FOLDER / name
