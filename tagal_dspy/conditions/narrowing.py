"""What comparisons leave of a column, for grammars."""

from __future__ import annotations

from collections.abc import Sequence

from tagal_dspy.conditions.comparing import CellTest
from tagal_dspy.errors import ConditionError
from tagal_dspy.schema import ModelledColumn


def narrowed_by_all(column: ModelledColumn, tests: Sequence[CellTest]) -> ModelledColumn | None:
    """The column with what all tests leave of it, None where that is missing values alone; raises `ConditionError`."""
    for some in [[test] for test in tests] + [list(tests)]:
        left = column.narrowed(some)
        takes_missing = all(test.takes_missing for test in some)
        if left is None and not takes_missing:
            texts = ", ".join(repr(test.comparison.text) for test in some)
            if len(some) > 1:
                raise ConditionError(f"no value of {column.name!r} meets all of {texts}: they contradict each other")
            raise ConditionError(f"no row can meet {texts}: in the real table {column.name!r} is {column.summary()}")
    return None if left is None else left.changed(missing_share=column.missing_share if takes_missing else 0.0)
