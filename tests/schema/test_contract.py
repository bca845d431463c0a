"""Every column kind keeps its contract."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, time
from decimal import Decimal
from typing import Any

import pandas as pd

from tagal_dspy.testing import ColumnKindContract


def named(*columns: Any) -> list[pd.Series[Any]]:
    return [pd.Series(values, name=f"x{place}") for place, values in enumerate(columns)]


class TestNumbers(ColumnKindContract):
    def examples(self) -> Iterable[pd.Series[Any]]:
        return named(
            [1, 2, 3],
            [0.5, 1.25, None],
            [2**63 - 1, -(2**63), 5],
            pd.array([2**64 - 1, None, 3], dtype="UInt64"),
            [1e-20, 2.5e-20, 1e-19],
            [1e300, 1.0, 1e-300],
            [Decimal("0.10"), Decimal("2.25"), Decimal("3.00")],
            ["$1,021.49", "-$0.50", "$12.00"],
            ["12,5 %", "0,1 %", "99,9 %"],
            ["(833)", "12", "(5)"],
            ["12", "?", "7", "9", "15"],
            pd.to_timedelta([1, 90, 3600], unit="s"),
        )


class TestCategories(ColumnKindContract):
    def examples(self) -> Iterable[pd.Series[Any]]:
        return named(
            ["yes", "no", None],
            [True, False, True],
            pd.Categorical(["low", "high"], categories=["low", "mid", "high"], ordered=True),
            ["NA", "None", "?"],
            ["1.1", "1.10", "2.0"],
            [0, 1, 1],
        )


class TestDatesAndTimes(ColumnKindContract):
    def examples(self) -> Iterable[pd.Series[Any]]:
        return named(
            pd.to_datetime(["2024-02-29", "1999-12-31", None]),
            pd.to_datetime(["2024-02-29 10:00", "1999-12-31 23:59"]).tz_localize("Europe/Brussels"),
            [date(2024, 2, 29), date(1999, 12, 31)],
            [time(9, 5), time(23, 59)],
            ["6/2/2023", "11/28/2023"],
            ["9:05 PM", "12:00 AM"],
            ["05-Mar-23", "17-Dec-99"],
            ["2023-12-08T05:00:00+02:00", "2023-11-18T10:00:00+02:00"],
            [20240229, 19991231, 20000101],
        )


class TestTexts(ColumnKindContract):
    def examples(self) -> Iterable[pd.Series[Any]]:
        return named([f"number {place}: good, fast and cheap" for place in range(12)])
