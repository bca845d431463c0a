"""The space of a search: which settings, models and prompts vary, and within which bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Union, get_args

from tagal_dspy.errors import SettingsError, nearest
from tagal_dspy.settings import MANY_ROWS, PromptStyle, RunSettings, run_settings


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where both are. `log` favours small ones."""

    low: float
    high: float
    log: bool = False

    def nearest(self, value: float) -> float:
        """The number of the range that is nearest to a value."""
        return min(max(value, self.low), self.high)

    def share(self, value: float) -> float:
        """How far a number is on the way from low to high, from 0 to 1."""
        low, high, value = map(self._scale, (self.low, self.high, self.nearest(value)))
        return (value - low) / (high - low) if high > low else 0.0

    def at(self, share: float) -> float:
        """The number that is so far on the way.

        >>> Range(2, 32, log=True).at(0.5)
        8
        """
        low, high = map(self._scale, (self.low, self.high))
        value = low + share * (high - low)
        value = math.exp(value) if self.log else value
        return self.nearest(round(value) if isinstance(self.low, int) else value)

    def _scale(self, value: float) -> float:
        return math.log(value) if self.log else float(value)


Bound = Union[Range, tuple[Any, ...]]
"""A range, or choices."""

Bounds = Mapping[str, Any]
"""By name: `[low, high]`, `{low, high, log}`, `{choices}`, or a list of names to choose from; as in TOML."""

PARTS = ("lm", "program")
"""What may vary besides the fields of `RunSettings`: the model, and the file of a saved program with its prompts."""

DEFAULT_BOUNDS: Mapping[PromptStyle, Bounds] = {
    "chat": {
        "preset": ["grounded", "paper"],
        "method": ["synth-loop", "reduced-loop", "prompt-refine"],
        "critic": ["none", "eye", "measured", "grounded"],
        "n_iter": [1, 5],
        "n_shots": {"low": 2, "high": 40, "log": True},
        "temperature": [0.3, 1.3],
        "critic_temperature": [0.0, 1.3],
        "summary_temperature": [0.0, 1.3],
        "rows_per_draw": {"low": 5, "high": 40, "log": True},
        "codec": ["csv", "json", "sentence"],
        "column_order": ["original", "categorical-first", "numerical-first", "target-first"],
        "info": ["card", "none"],
        "draws": ["joint", "by-class"],
        "few_shots": ["stratified", "uniform", "neighbours", "residual", "coreset"],
        "keep": ["last", "best"],
    },
    "continuation": {
        "critic": ["none", "measured"],
        "n_iter": [1, 3],
        "n_shots": {"low": 2, "high": 10, "log": True},
        "temperature": [0.7, 1.3],
        "rows_per_draw": [1, 5],
        "column_order": ["original", "categorical-first", "numerical-first", "target-first"],
        "info": ["card", "none"],
        "few_shots": ["stratified", "uniform", "neighbours", "residual", "coreset"],
        "keep": ["last", "best"],
        "steering": ["none", "grammar"],
        "curation": ["none", "labels"],
    },
}
"""What varies unless told otherwise, for models that follow instructions and for models that continue text."""

_APPLIES: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "n_iter": lambda chosen: chosen["critic"] != "none",
    "critic_temperature": lambda chosen: (
        chosen["critic"] in ("eye", "grounded") and (chosen["n_iter"] > 1 or chosen["method"] == "prompt-refine")
    ),
    "summary_temperature": lambda chosen: chosen["method"] == "prompt-refine",
    "keep": lambda chosen: chosen["n_iter"] > 1,
    "branches": lambda chosen: chosen["rows_per_draw"] > 1,
}
"""Settings that matter only where others, chosen before them, have certain values."""

_FIRST = ("preset", "method", "critic", "n_iter", "rows_per_draw")
_ORDER = (*_FIRST, *(name for name in RunSettings.model_fields if name not in _FIRST))


class Candidate(NamedTuple):
    """What a trial tries: settings, the model that writes (for `make_lm`), and a program file for its prompts."""

    settings: RunSettings
    lm: str = "local"
    program: str | None = None


class Given:
    """A trial whose parameters are known; unlike `optuna.trial.FixedTrial` it does not ask whether they are in bounds.

    >>> Given({"n_shots": 7}).suggest_int("n_shots", 1, 5)
    7
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def suggest_int(self, name: str, *bounds: Any, **options: Any) -> Any:
        """The known value."""
        return self._params[name]

    suggest_float = suggest_categorical = suggest_int


class Space:
    """What a study or the `optuna` optimizer searches.

    Args:
        bounds: of what varies; `DEFAULT_BOUNDS` of the style where None.
        preset, style: where the settings come from that do not vary; see `run_settings`.
        fixed: settings that differ from the preset's and do not vary.
        lm: the model, unless `lm` is among the bounds.
        program: the file of a saved program with its prompts, unless `program` is among the bounds.

    Attributes:
        bounds: by parameter, as they were read.

    Raises:
        SettingsError: naming what does not exist, is empty, inverted, impossible or both fixed and bounded.

    >>> Space({"n_shots": [2, 9]}).nearest_to_paper()
    {'n_shots': 9}
    """

    def __init__(
        self,
        bounds: Bounds | None = None,
        preset: str = "grounded",
        style: PromptStyle = "chat",
        fixed: Mapping[str, Any] | None = None,
        lm: str = "local",
        program: str | None = None,
    ) -> None:
        self.preset, self.style, self.fixed, self.lm, self.program = preset, style, dict(fixed or {}), lm, program
        self._presets: dict[str, dict[str, Any]] = {}
        self._base(preset)
        if bounds is None:
            bounds = {name: given for name, given in DEFAULT_BOUNDS[style].items() if name not in self.fixed}
        self.bounds = {name: _bound(name, given) for name, given in bounds.items()}
        both = self.bounds.keys() & self.fixed.keys()
        if both or not bounds:
            problem = f"{', '.join(sorted(both))}: fixed by the settings and varied by the bounds; choose one"
            raise SettingsError(problem if both else "nothing varies; give bounds")

    def candidate(self, trial: Any) -> Candidate:
        """What an `optuna.Trial` proposes; raises `SettingsError` where it proposes the impossible."""
        values = self.values(trial)
        lm, program = (values.pop(name) for name in PARTS)
        return Candidate(run_settings(values.pop("preset"), self.style, **values), lm, program or None)

    def values(self, trial: Any) -> dict[str, Any]:
        """The settings, model and program that a trial proposes, not validated."""
        parts = {"lm": self.lm, "program": self.program or ""}
        parts |= {name: _suggested(trial, name, self.bounds[name]) for name in PARTS if name in self.bounds}
        preset = _suggested(trial, "preset", self.bounds["preset"]) if "preset" in self.bounds else self.preset
        chosen = self._base(preset)
        for name in _ORDER[1:]:
            if name not in self.bounds:
                continue
            if name not in _APPLIES or _APPLIES[name](chosen):
                chosen[name] = _suggested(trial, name, self.bounds[name])
            elif name == "n_iter":
                chosen[name] = 1
        return chosen | parts

    def _base(self, preset: str) -> dict[str, Any]:
        if preset not in self._presets:
            self._presets[preset] = run_settings(preset, self.style, **self.fixed).model_dump()
        return dict(self._presets[preset])

    def paper(self, lm: str) -> Candidate:
        """The paper's default for a model, wherever the bounds are."""
        return Candidate(run_settings("paper", self.style), lm)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What makes the space what it is, ready for JSON."""
        bounds = {f"bounds of {name}": repr(bound) for name, bound in sorted(self.bounds.items())}
        settings = {f"setting {name}": value for name, value in sorted(self.fixed.items())}
        names = ("preset", "style", "lm", "program")
        return {**{name: getattr(self, name) for name in names}, **settings, **bounds}

    def nearest_to(self, settings: RunSettings) -> dict[str, Any]:
        """The parameters nearest to some settings."""
        values = settings.model_dump()
        values["rows_per_draw"] = values["rows_per_draw"] or MANY_ROWS
        return {name: _nearest(bound, values.get(name)) for name, bound in self.bounds.items()}

    def nearest_to_paper(self) -> dict[str, Any]:
        """The parameters nearest to the paper's default: what a study tries first."""
        return self.nearest_to(run_settings("paper", self.style))


def search_space(
    trial: Any, bounds: Bounds | None = None, preset: str = "grounded", style: PromptStyle = "chat", **fixed: Any
) -> RunSettings:
    """Settings with the bounded fields suggested by an `optuna.Trial`, the others from the preset.

    A setting that has no effect beside those already chosen is not suggested, so that no trial is spent on it: without
    a critic there is one turn, only the summary of prompt-refine has a temperature, and so on.

    Args:
        trial: asks for each parameter once.
        bounds: by field of `RunSettings`; `DEFAULT_BOUNDS` of the style where None.
        preset, style: see `run_settings`.
        fixed: settings that differ from the preset's.

    Raises:
        SettingsError: a field does not exist, or its bounds are empty, inverted or impossible.

    >>> import optuna
    >>> search_space(optuna.trial.FixedTrial({"n_shots": 7}), {"n_shots": [2, 40]}).n_shots
    7
    """
    return Space(bounds, preset, style, fixed).candidate(trial).settings


def _suggested(trial: Any, name: str, bound: Bound) -> Any:
    """A value of a bound."""
    if isinstance(bound, tuple):
        return trial.suggest_categorical(name, bound)
    if isinstance(bound.low, int):
        return trial.suggest_int(name, bound.low, bound.high, log=bound.log)
    return trial.suggest_float(name, bound.low, bound.high, log=bound.log)


def _bound(name: str, given: Any) -> Bound:
    if name not in RunSettings.model_fields and name not in PARTS:
        raise SettingsError(f"{name!r} is not a parameter; {nearest(name, [*RunSettings.model_fields, *PARTS])}")
    table = given if isinstance(given, Mapping) else _as_table(given)
    unknown = set(table) - {"low", "high", "log", "choices"}
    if unknown or ("choices" in table) == ("low" in table and "high" in table):
        raise SettingsError(
            f"the bounds of {name!r} are {given!r}; give [low, high], {{low, high, log}} or {{choices}}"
        )
    bound = tuple(table["choices"]) if "choices" in table else _range(name, **table)
    if not bound:
        raise SettingsError(f"the bounds of {name!r} are empty")
    if name not in PARTS:
        for value in bound if isinstance(bound, tuple) else (bound.low, bound.high):
            run_settings(**{"preset": "grounded", name: value})
    return bound


def _as_table(given: Any) -> dict[str, Any]:
    if not isinstance(given, (list, tuple)):
        return {}
    if len(given) == 2 and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in given):
        return {"low": given[0], "high": given[1]}
    return {"choices": given}


def _range(name: str, low: Any, high: Any, log: bool = False) -> Range:
    if not all(isinstance(end, (int, float)) for end in (low, high)):
        raise SettingsError(f"the bounds of {name!r} are {low!r} to {high!r}; a range is of numbers")
    if low > high:
        raise SettingsError(f"the bounds of {name!r} are inverted: {low} > {high}")
    if log and low <= 0:
        raise SettingsError(f"the bounds of {name!r} are logarithmic from {low}; they must begin above 0")
    field_type = RunSettings.model_fields[name].annotation if name in RunSettings.model_fields else None
    if float in (field_type, *get_args(field_type)):
        return Range(float(low), float(high), log)
    return Range(low, high, log)


def _nearest(bound: Bound, value: Any) -> Any:
    if isinstance(bound, tuple):
        return value if value in bound else bound[0]
    return bound.nearest(value)
