"""Each type of pandas, NumPy, Arrow and Python comes back as itself, or is refused before anything is paid."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.schema import TableSchema

N = 40
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
START = dt.datetime(2024, 1, 1, 3, 4, 5)
BRUSSELS = dt.timezone(HOUR)


def arrow(values: list[Any], kind: pa.DataType) -> Any:
    return pd.array(values, dtype=pd.ArrowDtype(kind))


def objects(make: Callable[[int], Any]) -> pd.Series[Any]:
    return pd.Series([make(i) for i in range(N)], dtype=object)


RESTORED: dict[str, Any] = {
    "int8": np.arange(N, dtype=np.int8),
    "int64": np.array([2**63 - 1 - i for i in range(N)]),
    "uint64": np.array([2**64 - 1 - i for i in range(N)], dtype=np.uint64),
    "float16": np.arange(N, dtype=np.float16) / 4,
    "float32": np.arange(N, dtype=np.float32) / 4,
    "float64": np.arange(N) / 4,
    "bool": np.arange(N) % 3 == 0,
    "datetime64[s]": pd.date_range("2024-01-01", periods=N, freq="h").astype("datetime64[s]"),
    "datetime64[ns]": pd.date_range("2024-01-01", periods=N, freq="h"),
    "datetime64[ns, tz]": pd.date_range("2024-01-01", periods=N, freq="h", tz="Europe/Brussels"),
    "timedelta64[ns]": pd.to_timedelta(np.arange(N) * 37, unit="min"),
    "Int64": pd.array([None, *(2**62 + i for i in range(N - 1))], dtype="Int64"),
    "UInt64": pd.array([None, *(2**64 - 1 - i for i in range(N - 1))], dtype="UInt64"),
    "Float64": pd.array([None, *(i / 4 for i in range(N - 1))], dtype="Float64"),
    "boolean": pd.array([None, True, False, True] * 10, dtype="boolean"),
    "string[python]": pd.array(["a", "b"] * 20, dtype="string[python]"),
    "string[pyarrow]": pd.array(["a", "b"] * 20, dtype="string[pyarrow]"),
    "category of str": pd.Categorical(["a", "b"] * 20, categories=["b", "a", "c"], ordered=True),
    "category of int": pd.Categorical([2**60 + 1, 2**60 + 3] * 20),
    "category of Decimal": pd.Categorical([Decimal("1.5"), Decimal("2.5")] * 20),
    "category of datetime": pd.Categorical(pd.date_range("2024-01-01", periods=N)),
    "category of interval": pd.cut(np.arange(N), 4),
    "period": pd.period_range("2024-01", periods=N, freq="M"),
    "interval": pd.interval_range(0, N, periods=N),
    "Sparse[int]": pd.arrays.SparseArray([0, 1, 2, 3] * 10),
    "Sparse[float]": pd.arrays.SparseArray([0.0, 1.5, 2.5, 3.5] * 10),
    "Sparse[bool]": pd.arrays.SparseArray([True, False] * 20),
    "Arrow int32": arrow(list(range(N)), pa.int32()),
    "Arrow uint64": arrow([2**64 - 1 - i for i in range(N)], pa.uint64()),
    "Arrow double": arrow([None, *(i / 4 for i in range(N - 1))], pa.float64()),
    "Arrow bool": arrow([True, None] * 20, pa.bool_()),
    "Arrow string": arrow(["a", "b"] * 20, pa.string()),
    "Arrow large_string": arrow(["a", "b"] * 20, pa.large_string()),
    "Arrow date32": arrow([START.date() + i * DAY for i in range(N)], pa.date32()),
    "Arrow timestamp": arrow([START + i * HOUR for i in range(N)], pa.timestamp("us")),
    "Arrow timestamp, tz": arrow([START + i * HOUR for i in range(N)], pa.timestamp("ns", "UTC")),
    "Arrow time64": arrow([dt.time(i % 24, 3, 1, 7) for i in range(N)], pa.time64("us")),
    "Arrow duration": arrow([i * HOUR for i in range(N)], pa.duration("ms")),
    "Arrow decimal128": arrow([Decimal(i) / 4 for i in range(N)], pa.decimal128(10, 2)),
    "str": objects(lambda i: f"word {i % 3}"),
    "bool objects": objects(lambda i: None if i == 3 else i % 2 == 0),
    "int objects": objects(lambda i: None if i == 3 else 10**17 + i),
    "float objects": objects(lambda i: i / 4),
    "Decimal": objects(lambda i: Decimal(i) / 4),
    "datetime.date": objects(lambda i: START.date() + i * DAY),
    "datetime.time": objects(lambda i: dt.time(i % 24, 3)),
    "datetime.datetime": objects(lambda i: START + i * HOUR),
    "datetime.datetime, tz": objects(lambda i: (START + i * HOUR).replace(tzinfo=BRUSSELS)),
    "datetime.timedelta": objects(lambda i: i * HOUR),
    "pandas.Timestamp": objects(lambda i: pd.Timestamp(START) + i * HOUR),
    "uuid.UUID": pd.Series([UUID(int=i % 3) for i in range(N)], dtype=object),
}

REFUSED: dict[str, Any] = {
    "complex128": np.arange(N) * 1j,
    "bytes": objects(lambda i: bytes([65 + i % 5])),
    "tuple": objects(lambda i: (i, 1)),
    "list": objects(lambda i: [i]),
    "int and str": objects(lambda i: i if i % 2 else str(i)),
    "NumPy numbers as objects": objects(lambda i: np.int64(i)),
    "moments in several time zones": objects(lambda i: START.replace(tzinfo=dt.timezone(HOUR * (i % 2)))),
    "Arrow binary": arrow([b"x"] * N, pa.binary()),
    "Arrow list": arrow([[1]] * N, pa.list_(pa.int64())),
    "Arrow dictionary": arrow(["a", "b"] * 20, pa.dictionary(pa.int32(), pa.string())),
}


@pytest.mark.parametrize("name", RESTORED)
def test_type_comes_back_as_itself(name: str) -> None:
    frame = pd.DataFrame({"x": RESTORED[name], "y": ["a", "b"] * (N // 2)})
    schema = TableSchema.infer(frame, "y")
    restored = schema.to_frame(schema.to_rows(frame))
    pd.testing.assert_frame_equal(restored, frame, check_exact=True)
    assert set(map(type, restored["x"].dropna())) == set(map(type, frame["x"].dropna()))


@pytest.mark.parametrize("name", REFUSED)
def test_type_that_would_come_back_as_another_is_refused_with_what_to_do(name: str) -> None:
    frame = pd.DataFrame({"x": REFUSED[name], "y": ["a", "b"] * (N // 2)})
    with pytest.raises(DataError, match=r"column 'x' .*(convert|type|make columns)"):
        TableSchema.infer(frame, "y")


def test_table_of_types_in_the_docs_has_a_row_for_each_test() -> None:
    page = (Path(__file__).parents[2] / "docs" / "types.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| (restored|refused) ", page, re.MULTILINE)
    assert dict(rows) == {**dict.fromkeys(RESTORED, "restored"), **dict.fromkeys(REFUSED, "refused")}
