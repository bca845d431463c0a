from __future__ import annotations

import logging
import random
from collections.abc import Callable

import dspy
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import shop_frame, shop_rows

from tagal_dspy.errors import DataError, EngineError
from tagal_dspy.metrics import Contamination, contamination
from tagal_dspy.testing import Answer, Asked, scripted_lm

# No two rows are alike but for the income: who knows the file knows it.
FRAME = shop_frame(200).drop_duplicates(["age", "city", "buys"], ignore_index=True).assign(note="one, two")
LINES = FRAME.to_csv(index=False).splitlines()
WITHOUT_INCOME = FRAME.drop(columns="income").to_csv(index=False).splitlines()


def remembers(asked: Asked) -> Answer:
    """Has the file before its eyes."""
    if WITHOUT_INCOME[0] in asked.last:
        row = next(line for line in asked.last.splitlines() if line in WITHOUT_INCOME[1:])
        return {"value": f" {FRAME['income'][WITHOUT_INCOME.index(row) - 1]:.2f}\nas I remember"}
    shown = [line for line in asked.last.splitlines() if line in LINES]
    after = LINES.index(shown[-1]) + 1
    return {"rows": "\n".join(["```csv", LINES[0], *LINES[after : after + 5], "```"])}


def guesses(asked: Asked) -> Answer:
    """Knows the columns and what values they take."""
    rng = random.Random(asked.last)
    if "value" in asked.fields:
        return {"value": f"{rng.uniform(12, 55):.1f}"}
    return {"rows": "\n".join(f'{line},"one, two"' for line in shop_rows(5, rng).splitlines())}


def continues(asked: Asked) -> Answer:
    """As a base model: its whole answer is text that follows the prompt."""
    answer = remembers(asked)
    assert not isinstance(answer, str)
    return next(iter(answer.values())).removeprefix(f"```csv\n{LINES[0]}\n").removesuffix("```")


def found(answer: Callable[[Asked], Answer], frame: pd.DataFrame = FRAME, style: str = "chat") -> Contamination:
    with dspy.context(lm=scripted_lm(answer, style=style, cache=False)):
        return contamination(frame, n_asked=12)


@pytest.mark.parametrize(("answer", "style"), [(remembers, "chat"), (continues, "continuation")])
def test_model_that_knows_the_table_is_found_out(answer: Callable[[Asked], Answer], style: str) -> None:
    result = found(answer, style=style)
    assert result.known
    assert (result.header.n_exact, result.rows.n_exact, result.feature.n_exact) == (5, 12, 12)
    assert all(each.remembered for each in (result.header, result.rows, result.feature))
    assert "It completes 12 of 12 rows exactly (100%, interval 74% to 100%; without memory 1%)." in str(result)


def test_model_that_guesses_is_not_accused() -> None:
    result = found(guesses)
    assert not result.known
    assert result.rows.n_exact == result.header.n_exact == 0
    assert str(result).startswith("No sign that the model knows this table.")


def test_rows_that_are_easily_guessed_are_no_memory() -> None:
    frame = pd.DataFrame({"a": ["x"] * 40, "b": ["y"] * 40})
    result = found(lambda asked: {"value": "x"} if "value" in asked.fields else {"rows": "x,y\n" * 5}, frame)
    assert (result.rows.n_exact, result.rows.baseline) == (12, 1.0)
    assert not result.known


def test_row_that_is_shown_last_and_said_again_is_no_memory() -> None:
    frame = pd.DataFrame({"a": [f"k{number // 10}" for number in range(400)]})

    def repeats(asked: Asked) -> Answer:
        if "value" in asked.fields:
            return {"value": ""}
        return {"rows": [line for line in asked.last.splitlines() if line.startswith("k")][-1]}

    result = found(repeats, frame)
    assert result.rows.n_exact >= 9
    assert not result.rows.remembered


@settings(max_examples=20)
@given(st.sampled_from(["", "[[ ## other ## ]]\n1", '"', "\0", '"' + "x" * 200_000]) | st.text())
def test_useless_answers_are_wrong_answers(text: str) -> None:
    result = found(lambda asked: text)
    assert result.header.n_exact == result.rows.n_exact == result.feature.n_exact == 0


def test_a_base_model_is_shown_the_table_alone() -> None:
    lm = scripted_lm(continues, style="continuation", cache=False)
    with dspy.context(lm=lm):
        contamination(FRAME, n_asked=1, n_shown=3)
    row_asked = lm.engine.asked[0].last
    assert row_asked.startswith(LINES[0] + "\n")
    assert row_asked.endswith("\n")
    assert len(row_asked.splitlines()) == 4


def test_no_row_is_logged_or_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tagal_dspy")
    assert "Ghent" not in repr(found(remembers)) + str(found(remembers)) + caplog.text


def test_wrong_requests_say_what_to_do() -> None:
    with pytest.raises(EngineError, match=r"dspy\.context"):
        contamination(FRAME)
    with pytest.raises(DataError, match="did you mean 'income'"):
        contamination(FRAME, column="incom")
    with pytest.raises(DataError, match="5 rows more than shown"):
        contamination(FRAME.head(12))
