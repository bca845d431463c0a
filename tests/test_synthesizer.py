"""Fit and sample, in the forms that other libraries use."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripts import other_roles, role, shop_frame, shop_rows, shop_writer

from tagal_dspy.errors import DataError, RunError, SettingsError
from tagal_dspy.recording import Recorder, RunStore
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.testing import Answer, Asked, scripted_lm


def test_frame_in_gives_a_frame_out() -> None:
    table = TagalSynthesizer(scripted_lm(shop_writer(), cache=False), n_shots=2).fit(shop_frame(), "buys").sample(7)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == list(shop_frame().columns)
    assert list(table.index) == list(range(7))


def test_dict_of_one_frame_gives_a_dict_out() -> None:
    synthesizer = TagalSynthesizer(scripted_lm(shop_writer(), cache=False), n_shots=2)
    tables = synthesizer.fit({"shop": shop_frame()}, "buys").sample(7)
    assert isinstance(tables, dict)
    assert len(tables["shop"]) == 7


def test_several_frames_are_refused() -> None:
    with pytest.raises(DataError, match="exactly one"):
        TagalSynthesizer(scripted_lm(shop_writer())).fit({"a": shop_frame(), "b": shop_frame()})


def test_sample_before_fit_is_refused() -> None:
    with pytest.raises(SettingsError, match="call fit first"):
        TagalSynthesizer(scripted_lm(shop_writer())).sample(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_itr": 3}, "'n_itr' is not a setting; did you mean 'n_iter'?"),
        ({"sede": 2}, "'sede' is not a setting; did you mean 'seed'?"),
        ({"n_shots": 0}, "n_shots: Input should be greater than or equal to 1"),
        ({"preset": "best"}, "preset 'best' is unknown"),
        ({"lm": 5}, "lm is 5; expected a dspy.LM, or text such as 'local'"),
        ({"critic_lm": ["local"]}, "critic_lm is of the type list; expected a dspy.LM"),
        ({"seed": "1"}, "seed is '1'; expected a whole number of 0 or more"),
        ({"seed": -1}, "seed is -1; expected a whole number of 0 or more"),
        ({"concurrency": 1.5}, "concurrency is 1.5; expected a whole number of 1 or more"),
        ({"api_base": 80}, "api_base is 80; expected the address of a server"),
        ({"program": "program.json"}, "program is 'program.json'; expected a program such as SynthLoop()"),
    ],
)
def test_wrong_argument_is_refused_when_the_synthesizer_is_made(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TagalSynthesizer(**arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": {"a": [1]}}, "data is of the type list; expected a pandas.DataFrame, or a dict of exactly one"),
        ({"data": [1, 2]}, "data is of the type list; expected a pandas.DataFrame, or a dict of exactly one"),
        ({"data": {}}, "data is a dict of 0 tables; expected a pandas.DataFrame, or a dict of exactly one"),
        ({"target": 3}, "target is 3; expected the name of a column"),
        ({"overrides": {"notes": "x"}}, "overrides is of the type dict; expected SchemaOverrides"),
        ({"rules": "age > 3"}, "rules is 'age > 3'; expected a list of SDV constraints or of dicts"),
        ({"examples": [[1]]}, "examples is of the type list; expected a pandas.DataFrame"),
    ],
)
def test_wrong_argument_of_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, SettingsError)) as caught:
        TagalSynthesizer(scripted_lm(shop_writer())).fit(**{"data": shop_frame(), **arguments})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_rows": 2.5}, "n_rows is 2.5; expected a whole number of 1 or more"),
        ({"n_rows": "8"}, "n_rows is '8'; expected a whole number of 1 or more"),
        ({"n_rows": True}, "n_rows is True; expected a whole number of 1 or more"),
        ({"n_rows": 0}, "n_rows is 0; expected a whole number of 1 or more"),
        ({"seed": "7"}, "seed is '7'; expected a whole number of 0 or more"),
        ({"where": 30}, "where is 30; expected a condition as text, such as 'age >= 30'"),
        ({"recorder": "run.sqlite"}, "recorder is 'run.sqlite'; expected a Recorder"),
    ],
)
def test_wrong_argument_of_sample_is_refused_before_the_first_call(arguments: dict[str, Any], message: str) -> None:
    made, lm = fitted()
    with pytest.raises(SettingsError) as caught:
        made.sample(**{"n_rows": 8, **arguments})
    assert str(caught.value) == message
    assert not lm.engine.asked


def fitted(**settings: Any) -> tuple[TagalSynthesizer, Any]:
    """A synthesizer whose rows depend on nothing but the prompt, few-shots included."""
    lm = scripted_lm(lambda asked: {"rows": shop_rows(20, random.Random(repr(asked.turns)))}, cache=False)
    made = TagalSynthesizer(lm, n_iter=1, critic="none", n_shots=3, rounds_ahead=2, **settings)
    return made.fit(shop_frame(), "buys"), lm


def drawn(made: TagalSynthesizer, **asked: Any) -> list[tuple[Any, ...]]:
    return list(made.sample(8, **asked).itertuples(index=False, name=None))  # type: ignore[union-attr]


def test_each_call_of_sample_draws_other_rows_and_fit_begins_anew() -> None:
    made, _ = fitted()
    first, second, third = (drawn(made) for _ in range(3))
    assert not set(first) & set(second)
    assert not set(first + second) & set(third)
    made.fit(shop_frame(), "buys")
    assert [drawn(made) for _ in range(3)] == [first, second, third]


def test_seed_of_a_call_repeats_it_and_disturbs_no_other_call() -> None:
    made, _ = fitted(seed=3)
    first = drawn(made)
    assert drawn(made, seed=7) == drawn(made, seed=7) != first
    assert drawn(made, seed=3) == first
    second = drawn(made)
    assert drawn(made, seed=made.seed_) == second
    other, _ = fitted(seed=3)
    assert [drawn(other), drawn(other)] == [first, second]


def test_call_that_is_refused_does_not_count() -> None:
    made, _ = fitted()
    with pytest.raises(SettingsError):
        made.sample(8, where="height > 3")
    other, _ = fitted()
    assert drawn(made) == drawn(other)


def test_preview_shows_the_few_shots_of_the_next_call() -> None:
    made, lm = fitted()
    for _ in range(2):
        shown, n_asked = made.preview(8)[0][-1]["content"], len(lm.engine.asked)
        drawn(made)
        examples = shown.split("[[ ## examples ## ]]")[1].split("[[ ##")[0]
        assert examples in lm.engine.asked[n_asked].last


def test_copy_goes_on_with_the_calls_where_the_original_is() -> None:
    made, _ = fitted()
    drawn(made)
    other = copy.deepcopy(made)
    assert drawn(other) == drawn(made)


def test_partial_rows_are_completed_otherwise_by_each_call() -> None:
    made, _ = fitted()
    partial = pd.DataFrame({"buys": ["yes", "no", "no"]})
    first, second, again = (made.sample_remaining(partial, seed=seed) for seed in (None, None, 0))
    assert first.equals(again)
    assert not first.equals(second)
    assert list(second["buys"]) == ["yes", "no", "no"]


def test_recorded_call_keeps_its_seed_whatever_the_number_of_the_call_that_resumes_it(tmp_path: Path) -> None:
    made, _ = fitted()
    drawn(made)
    with RunStore(tmp_path / "run.sqlite") as store:
        second = drawn(made, recorder=Recorder(store))
        again, lm = fitted()
        assert drawn(again, recorder=Recorder(store)) == second
        assert not lm.engine.asked
        assert drawn(again) == drawn(made) != second
        with pytest.raises(RunError, match=r"seed was \d+, now 7"):
            drawn(made, recorder=Recorder(store), seed=7)


def test_roles_can_have_language_models_of_their_own() -> None:
    def only(wanted: str) -> Answer:
        def answer(asked: Asked) -> Answer:
            assert role(asked) == wanted
            return other_roles(asked)

        return answer  # type: ignore[return-value]

    critic = scripted_lm(only("critique"), model="scripted/critic", cache=False)  # type: ignore[arg-type]
    summary = scripted_lm(only("summarize"), model="scripted/summary", cache=False)  # type: ignore[arg-type]
    writer = scripted_lm(shop_writer(), model="scripted/writer", cache=False)
    synthesizer = TagalSynthesizer(writer, critic_lm=critic, summary_lm=summary, method="prompt-refine", n_shots=2)
    synthesizer.fit(shop_frame(), "buys").sample(30)
    assert set(synthesizer.prediction_.usage) == {"scripted/writer", "scripted/critic", "scripted/summary"}


def test_models_that_continue_text_get_settings_for_small_models() -> None:
    lm = scripted_lm(shop_writer(), style="continuation")
    settings = TagalSynthesizer(lm).fit(shop_frame(), "buys").program_.settings
    assert (settings.draws, settings.few_shots, settings.critic) == ("by-class", "neighbours", "none")
    assert TagalSynthesizer(lm, preset="paper").fit(shop_frame(), "buys").program_.settings.draws == "joint"
