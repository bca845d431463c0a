from __future__ import annotations

import pandas as pd
import pytest
from tables import mixed_frame

from tagal_dspy.errors import DataError
from tagal_dspy.schema import TableSchema, read_cells

FRAME = mixed_frame()
SCHEMA = TableSchema.infer(FRAME, "class")


def test_real_rows_read_as_the_schema_writes_them() -> None:
    names = list(SCHEMA.names)
    read = [tuple(row[name] for name in names) for row in read_cells(FRAME[names], SCHEMA)]
    assert read == SCHEMA.to_rows(FRAME)


def test_columns_may_come_in_part_and_in_any_order() -> None:
    cells = read_cells(pd.DataFrame({"class": ["a"], "when": [None], "amount": [12]}), SCHEMA)
    assert cells == [{"class": "a", "when": None, "amount": "12.00"}]


def test_all_that_does_not_fit_is_said_at_once() -> None:
    with pytest.raises(DataError) as caught:
        read_cells(pd.DataFrame({"class": ["z", "a"], "amount": [1, 9999]}), SCHEMA)
    assert "row 1: 'class' has no category 'z'" in str(caught.value)
    assert "row 2: 'amount' is 9999" in str(caught.value)


@pytest.mark.parametrize("name", ["id", "klass"])
def test_column_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"'{name}' is not a column to write"):
        read_cells(pd.DataFrame({name: ["a"]}), SCHEMA)


def test_long_lists_of_problems_are_cut() -> None:
    with pytest.raises(DataError, match="; and 15 more"):
        read_cells(pd.DataFrame({"class": ["z"] * 20}), SCHEMA)
