from __future__ import annotations

from pathlib import Path

import pytest

from tagal_dspy.errors import SettingsError
from tagal_dspy.settings import Budget, RunSettings, read_toml, run_settings


def test_defaults_are_those_of_the_paper() -> None:
    assert run_settings("paper") == RunSettings()
    paper = RunSettings()
    assert (paper.n_iter, paper.n_shots, paper.temperature, paper.critic) == (3, 20, 0.7, "eye")


def test_paper_is_the_published_method_whatever_the_model() -> None:
    assert run_settings("paper", "continuation") == run_settings("paper", "chat")


def test_grounded_holds_the_class_shares_and_filters_strictly() -> None:
    settings = run_settings("grounded")
    assert (settings.preset, settings.shares, settings.strictness) == ("grounded", "real", "strict")


def test_models_that_continue_text_are_asked_class_by_class_without_a_critic() -> None:
    settings = run_settings("grounded", "continuation")
    assert (settings.draws, settings.critic) == ("by-class", "none")


def test_keyword_wins_over_the_preset() -> None:
    assert run_settings("grounded", "continuation", draws="joint").draws == "joint"


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(SettingsError, match="preset 'best' is unknown; use 'grounded' or 'paper'"):
        run_settings("best")


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"n_iter: .*; temperature: .*; codec: .*; n_itr: "):
        run_settings("paper", n_iter=0, temperature=3, codec="xml", n_itr=5)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunSettings().n_iter = 5


def test_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="n_itr"):
        RunSettings.model_validate({"n_itr": 5})


def test_settings_survive_json() -> None:
    settings = run_settings("grounded", "continuation", n_shots=7)
    assert RunSettings.model_validate_json(settings.model_dump_json()) == settings


def test_toml_is_read(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('n_iter = 5\n["größe"]\nmin = 1.5\n', encoding="utf-8")
    assert read_toml(tmp_path / "run.toml") == {"n_iter": 5, "größe": {"min": 1.5}}


@pytest.mark.parametrize("content", [b"n_iter = ", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_malformed_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"run\.toml is not valid TOML"):
        read_toml(tmp_path / "run.toml")


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_toml_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot read "):
        read_toml(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("500calls", {"max_calls": 500}),
        ("1Mtok", {"max_tokens": 1_000_000}),
        ("2.5 ktok", {"max_tokens": 2500}),
        ("2usd,.1kcalls", {"max_cost": 2.0, "max_calls": 100}),
    ],
)
def test_budget_is_read_from_text(text: str, limits: dict[str, float]) -> None:
    assert Budget.parse(text) == Budget(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "500", "usd", "2eur", "-1calls", "1e3calls", "0calls", "1.5calls"])
def test_text_that_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"500calls, 1Mtok or 2usd|max_calls"):
        Budget.parse(text)
