"""What is left out of prompts that do not fit the model's window, and in which order."""

from __future__ import annotations

import re

import dspy
import pytest
from scripts import role, shop_task, shop_writer

from tagal_dspy.engines import make_lm
from tagal_dspy.errors import PromptTooLongError
from tagal_dspy.modules import METHODS
from tagal_dspy.settings import Method, run_settings
from tagal_dspy.testing import Asked, scripted_lm

SHARE = 0.75
"""Of the window, for a prompt and its rows."""


def asked(window: int | None, method: Method = "synth-loop", **settings: object) -> list[Asked]:
    """What a model with such a window is asked for a conversation of four turns; its engine counts bytes."""
    settings = {"n_shots": 20, "n_iter": 4, "rows_per_draw": 10, "rounds_ahead": 1, "method": method, **settings}
    lm = scripted_lm(shop_writer(10), cache=False, context_window=window)
    with dspy.context(lm=lm):
        METHODS[method](run_settings("paper", **settings))(task=shop_task(), n_rows=8)
    return lm.engine.asked


def size(each: Asked) -> int:
    return len(each.system.encode()) + sum(len(text.encode()) for _, text in each.turns)


def few_shots(each: Asked) -> list[str]:
    table = re.search(r"\[\[ ## examples ## \]\]\n(.*?)\n\n", each.turns[0][1], re.DOTALL)
    return table.group(1).splitlines()[1:] if table else []


def draws(window: int | None) -> list[Asked]:
    return [each for each in asked(window) if role(each) == "generate"]


def test_everything_is_sent_where_the_window_is_unknown_or_large() -> None:
    whole = draws(None)
    assert [len(each.turns) for each in whole] == [1, 3, 5, 7]
    assert [each.turns for each in draws(1_000_000)] == [each.turns for each in whole]


@pytest.mark.parametrize("window", [6000, 5000, 4000])
def test_no_draw_is_larger_than_the_window_leaves(window: int) -> None:
    assert max(map(size, draws(None))) > SHARE * window
    assert all(size(each) <= SHARE * window for each in draws(window))


def test_oldest_turns_go_before_few_shots_and_the_latest_critique_stays() -> None:
    whole, fitted = draws(None)[-1], draws(6000)[-1]
    assert len(fitted.turns) < len(whole.turns)
    assert few_shots(fitted) == few_shots(whole)
    assert fitted.turns[-1] == whole.turns[-1]
    assert fitted.turns[-2] == whole.turns[-2]
    assert [who for who, _ in fitted.turns[:2]] == ["user", "assistant"]


def test_few_shots_are_thinned_evenly_where_no_turn_is_left_to_leave_out() -> None:
    whole, fitted = draws(None)[0], draws(3800)[0]
    shown, left = few_shots(whole), few_shots(fitted)
    assert 2 <= len(left) < len(shown)
    assert [row for row in shown if row in left] == left
    assert {row.split(",")[-1] for row in left} == {row.split(",")[-1] for row in shown}


def test_window_that_holds_no_few_shot_is_an_error() -> None:
    with pytest.raises(PromptTooLongError, match=r"even with one few-shot; ask for fewer rows"):
        draws(2500)


def test_window_in_the_settings_goes_before_what_the_engine_knows() -> None:
    assert len(asked(1_000_000, context_window=6000)[-2].turns) < 7


def test_summary_leaves_out_the_oldest_turns() -> None:
    def summary(window: int | None) -> Asked:
        return next(each for each in asked(window, "prompt-refine", summary_reads="turns") if role(each) == "summarize")

    whole, fitted = summary(None), summary(4000)
    assert whole.last.count(", rows written:") == 4
    assert 1 <= fitted.last.count(", rows written:") < 4
    assert size(fitted) <= 4000


def test_window_of_a_listed_model_is_known_without_a_network() -> None:
    assert make_lm("openai/gpt-4o-mini", api_key="none").engine.context_window == 128_000
    assert make_lm("hosted_vllm/ours", api_base="http://localhost:1").engine.context_window is None
