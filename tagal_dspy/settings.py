"""`RunSettings`: every meta-parameter of a run, frozen and closed, and the presets that fill it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagal_dspy.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Method = Literal["synth-loop", "reduced-loop", "prompt-refine"]
Preset = Literal["paper", "grounded"]
CodecName = Literal["csv", "json", "sentence"]
ColumnOrder = Literal["original", "categorical-first", "numerical-first", "target-first"]
CriticName = Literal["eye", "grounded", "measured", "human", "none"]
SamplerName = Literal["stratified", "uniform", "neighbours", "residual", "coreset"]
PromptStyle = Literal["chat", "continuation"]

Model = TypeVar("Model", bound=BaseModel)

MANY_ROWS = 20
"""Rows of a draw that is asked for as many as possible, as far as can be told before any has come."""


class RunSettings(BaseModel):
    """Meta-parameters of one run. The field defaults are the paper's (arXiv:2509.04152, section 4).

    >>> RunSettings(n_iter=5).temperature
    0.7
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset = "paper"
    method: Method = "synth-loop"
    n_iter: int = Field(default=3, ge=1, le=20, description="turns (generate, then critique) in a round")
    n_shots: int = Field(default=20, ge=1, le=1000, description="real rows of each class shown to the generator")
    temperature: float = Field(default=0.7, ge=0.0, le=2.0, description="of the generation LM")
    critic_temperature: float | None = Field(
        default=0.7, ge=0.0, le=2.0, description="of the critique LM; the LM's own where None"
    )
    critic_max_tokens: int | None = Field(
        default=2048, ge=1, description="tokens of a critique; the LM's own limit where None"
    )
    summary_temperature: float | None = Field(
        default=0.7, ge=0.0, le=2.0, description="of the summary LM; the LM's own where None"
    )
    rows_per_draw: int | None = Field(
        default=None, ge=1, le=1000, description="rows asked of the LM in one call; as many as possible where None"
    )
    branches: int = Field(
        default=1, ge=1, le=64, description="parallel continuations of one prompt that share the rows of a draw"
    )
    context_window: int | None = Field(
        default=None,
        ge=256,
        description="tokens of prompt and answer that the LM takes; as its engine knows where None",
    )
    codec: CodecName = "csv"
    column_order: ColumnOrder = "original"
    info: Literal["card", "none"] = Field(
        default="card", description="what the generation LM is told besides the real rows that it is shown"
    )
    draws: Literal["joint", "by-class"] = Field(
        default="joint", description="all classes in one call, or one class a call with its label fixed"
    )
    few_shots: SamplerName = Field(default="stratified", description="how the real rows that are shown are chosen")
    shares: Literal["free", "real"] = Field(
        default="free", description="class shares as the LM writes them, or held to those of the real table"
    )
    strictness: Literal["valid", "strict"] = Field(
        default="valid", description="rows that fit the schema, or also within range, new and unlike real rows"
    )
    rounds_ahead: int = Field(
        default=64, ge=1, le=256, description="rounds that start before earlier ones are done; part of the outcome"
    )
    critic: CriticName = Field(default="eye", description="who criticises the rows of a turn")
    last_critique: Literal["asked", "left-out"] = Field(
        default="asked", description="the critique of a last turn that no later draw reads (SynthLoop)"
    )
    critic_history: Literal["round", "none"] = Field(
        default="round", description="whether the critique LM has a conversation of its own in each round"
    )
    critique: Literal["whole", "weaknesses"] = Field(
        default="whole", description="a critique names strengths and weaknesses, or weaknesses alone"
    )
    critic_info: Literal["card", "none"] = Field(
        default="card", description="what the critique LM is told besides the rows that it judges"
    )
    critic_examples: Literal["none", "first"] = Field(
        default="none", description="whether the critique LM sees the few-shots of a round with its first rows"
    )
    generator_history: Literal["valid-rows", "answers"] = Field(
        default="valid-rows",
        description="earlier turns as up to 30 of their valid rows, written anew, or as the answers that came",
    )
    max_failed_draws: int = Field(
        default=3, ge=0, description="draws without a valid row, each repeated, that end a round; 0 repeats none"
    )
    few_shot_order: Literal["by-class", "shuffled"] | None = Field(
        default=None,
        description="few-shots class by class, or shuffled across classes; shuffled in ReducedLoop alone where None",
    )
    conversation_rows: Literal["left-out", "kept"] = Field(
        default="left-out", description="rows of the conversation before the draws (ReducedLoop, Prompt-Refine)"
    )
    refined_prompt: Literal["alone", "with-examples"] = Field(
        default="alone",
        description="few-shots in the slot of the refined prompt, which is sent alone, or as examples beside it",
    )
    summary_reads: Literal["messages", "turns"] = Field(
        default="messages", description="the summary LM reads the whole conversation, or its rows and critiques"
    )
    duplicates: Literal["kept", "dropped"] | None = Field(
        default=None,
        description="rows equal to an accepted one; dropped in ReducedLoop alone where None, and where rows are strict",
    )
    common_rows: Literal["rejected", "accepted"] = Field(
        default="rejected",
        description="rows equal to two or more training rows: rejected where rows are strict, or kept by their share",
    )
    min_distance: int = Field(
        default=0, ge=0, description="cells in which a row must differ from every training row, common ones too"
    )
    surplus: Literal["random", "first"] = Field(
        default="random", description="which rows stay where more came than wanted: a random sample, or the first"
    )
    keep: Literal["best", "last"] = Field(default="last", description="which turn of a conversation is kept")
    steering: Literal["none", "grammar"] = Field(
        default="none", description="values accepted too often already cannot be written (engines with a grammar)"
    )
    overdraw: float = Field(
        default=1.0,
        ge=1.0,
        le=20.0,
        description="rows accepted for each row wanted; those are kept that together are most like the real ones",
    )
    trees: float = Field(
        default=0.0,
        ge=0.0,
        le=20.0,
        description="rows of sequential trees that are accepted for each row wanted, to select from; for free, but not "
        "written by a language model",
    )
    curation: Literal["none", "labels"] = Field(
        default="none", description="reject rows whose label the real rows contradict, and show none such"
    )


class Budget(BaseModel):
    """What a run may take at most. Calls are never exceeded; tokens and cost by the calls under way at most.

    >>> Budget.parse("1.5Mtok, 2usd")
    Budget(max_calls=None, max_tokens=1500000, max_cost=2.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_calls: int | None = Field(default=None, ge=1, description="calls of language models, cached ones left out")
    max_tokens: int | None = Field(default=None, ge=1, description="prompt and completion tokens together")
    max_cost: float | None = Field(default=None, gt=0, description="money, in the currency of the prices")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `500calls`, `200ktok`, `1Mtok` or `2usd`, or several of them with commas between; the first that is
        reached ends the run. Raises `SettingsError` for anything else."""
        limits: dict[str, float] = {}
        for part in text.split(","):
            found = re.fullmatch(r"(\d+|\d*\.\d+)\s*([kM]?)\s*(calls|tok|usd)", part.strip())
            if found is None:
                raise SettingsError(f"the budget {part.strip()!r} is none; write it as 500calls, 1Mtok or 2usd")
            number, factor, unit = found.groups()
            limits[_UNITS[unit]] = float(number) * _FACTORS[factor]
        return validated(cls, limits)


_UNITS = {"calls": "max_calls", "tok": "max_tokens", "usd": "max_cost"}
_FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}


def saved_settings(values: object) -> RunSettings:
    """Settings as a program saved them; those that were not known then are the preset's."""
    if not isinstance(values, dict):
        raise SettingsError(f"the settings are {values!r}; expected names and values")
    return run_settings(**{"preset": "paper", **values})


def run_settings(preset: str, style: PromptStyle = "chat", **overrides: Any) -> RunSettings:
    """The settings of a preset for a style of prompting, with `overrides` on top.

    `paper` is the published method whatever the model; `grounded` holds the class shares, and asks models that
    continue text (small base models) for few rows of one class at a time, without a critique they could not write.

    Raises:
        SettingsError: naming every unknown setting and impossible value.

    >>> run_settings("grounded", "continuation", n_shots=5).draws
    'by-class'
    """
    if preset not in ("paper", "grounded"):
        raise SettingsError(f"preset {preset!r} is unknown; use 'grounded' or 'paper'")
    defaults: dict[str, Any] = {"preset": preset}
    if preset == "grounded":
        defaults |= GROUNDED
        if style == "continuation":
            defaults |= SMALL_MODEL
    if overrides.get("critic") == "human":
        defaults["rounds_ahead"] = 1  # a person is asked one thing at a time
    return validated(RunSettings, defaults | overrides)


GROUNDED: dict[str, Any] = {
    "shares": "real",
    "strictness": "strict",
    "critic": "grounded",
    "keep": "best",
    "critic_temperature": None,
    "critic_max_tokens": None,
    "summary_temperature": None,
    "rows_per_draw": 20,
    "last_critique": "left-out",
    "critic_history": "none",
    "generator_history": "answers",
    "max_failed_draws": 0,
    "few_shot_order": "by-class",
    "duplicates": "kept",
    "conversation_rows": "kept",
    "refined_prompt": "with-examples",
    "summary_reads": "turns",
    "surplus": "first",
    "common_rows": "accepted",
}
"""Where the grounded preset departs from the published method; each is one of its settings."""

SMALL_MODEL: dict[str, Any] = {
    # Four rows from three few-shots take half the tokens of two from four. Eight from a prompt, in four branches, cost
    # Adult .06 of its score (experiments/results/four_branches.csv). In two branches a draw is half as long, and the
    # last ones leave fewer slots idle.
    "draws": "by-class",
    "n_iter": 1,
    "few_shots": "neighbours",
    "n_shots": 3,
    "temperature": 1.0,
    "rows_per_draw": 4,
    "branches": 2,
    "rounds_ahead": 12,
    "critic": "none",
    "steering": "grammar",
    "overdraw": 2.0,
    "curation": "labels",
}


def validated(model: type[Model], values: dict[str, Any]) -> Model:
    """`model(**values)`, with all of pydantic's complaints in one `SettingsError`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise SettingsError("; ".join(problems)) from error


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; raises `SettingsError` when it is missing or malformed."""
    try:
        with path.open("rb") as file:
            return dict(tomllib.load(file))
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
