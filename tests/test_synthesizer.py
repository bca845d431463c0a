"""Fit and sample, in the forms that other libraries use."""

from __future__ import annotations

import pandas as pd
import pytest
from scripts import other_roles, role, shop_frame, shop_writer

from tagal_dspy.errors import DataError, SettingsError
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


def test_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="n_itr"):
        TagalSynthesizer(scripted_lm(shop_writer()), n_itr=3).fit(shop_frame())


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
