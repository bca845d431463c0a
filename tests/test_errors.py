from __future__ import annotations

import pytest

from tagal_dspy import errors

ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.TagalError)]


@pytest.mark.parametrize("error", [each for each in ERRORS if each is not errors.TagalError])
def test_error_has_our_root_and_a_builtin_parent(error: type[Exception]) -> None:
    builtin = [parent for parent in error.__mro__ if parent.__module__ == "builtins"]
    assert builtin[0] not in (Exception, BaseException, object)


def test_unfinished_run_keeps_what_was_accepted() -> None:
    assert errors.NotEnoughRowsError("3 of 5 rows", prediction=["row"]).prediction == ["row"]
