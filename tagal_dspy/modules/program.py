"""`Program`: settings and parts of a program, and how they are saved and loaded."""

from __future__ import annotations

import copy
import math
import re
from importlib.metadata import version
from typing import Any

import dspy
from pydantic import BaseModel

from tagal_dspy.errors import ProgramError
from tagal_dspy.few_shot import SAMPLERS, FewShotSampler
from tagal_dspy.modules.critics import CRITICS, Critic
from tagal_dspy.modules.generator import RowGenerator
from tagal_dspy.modules.role import Role
from tagal_dspy.settings import RunSettings, saved_settings


class Program(Role):
    """Prompts, settings and parts; never rows, never a language model.

    Args:
        settings: meta-parameters; the paper's where None. They are saved and loaded with the program.
        generator, critic, sampler: parts to use instead of those that the settings describe.
    """

    def __init__(
        self,
        settings: RunSettings | None = None,
        *,
        generator: RowGenerator | None = None,
        critic: Critic | None = None,
        sampler: FewShotSampler | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or RunSettings()
        self._own = {"generator": generator is not None, "critic": critic is not None, "sampler": sampler is not None}
        self.generator = generator or _make_generator(self.settings)
        self.critic = critic or _make_critic(self.settings)
        self.sampler = sampler or SAMPLERS[self.settings.few_shots]()
        self.lineage: dict[str, Any] | None = None

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Prompts, demos and settings; no language model, so that neither key nor address is saved."""
        state = {name: _without_lm(each).dump_state(json_mode=json_mode) for name, each in self.named_parameters()}
        lineage = {"lineage": self.lineage} if self.lineage else {}
        return {**state, "settings": self.settings.model_dump(), **lineage}

    def load_state(self, state: dict[str, Any], **options: Any) -> None:
        """Take over what `dump_state` wrote; parts and models that this program was given stay.

        Raises:
            ProgramError: it is of another kind of program, of a newer version, or damaged.
        """
        if not isinstance(state, dict) or "settings" not in state:
            raise ProgramError("the file does not hold a program of tagal_dspy: it has no settings")
        settings = saved_settings(state["settings"])
        trial = self.deepcopy()
        try:
            _check_versions(state)
            trial._load(settings, state, options)
        except ProgramError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
            raise ProgramError(f"the program is damaged: {type(error).__name__}: {error}") from error
        self._load(settings, state, options)

    def _load(self, settings: RunSettings, state: dict[str, Any], options: dict[str, Any]) -> None:
        self.apply(settings)
        lms = {name: predictor.lm for name, predictor in self.named_parameters()}
        saved = set(state) - {"settings", "metadata", "lineage"}
        if set(lms) != saved:
            raise ProgramError(f"the file holds the predictors {sorted(saved)}; expected {sorted(lms)}")
        for name, predictor in self.named_parameters():
            saved_predictor = _SavedPredictor.model_validate(state[name])
            n_saved, n_fields = len(saved_predictor.signature.fields), len(predictor.signature.fields)
            if n_saved != n_fields:
                raise ProgramError(f"{name} was saved with {n_saved} fields; expected {n_fields}")
        # A program names no model: one in a file would get the real rows instead of the user's.
        super().load_state({name: {**state[name], "lm": None} for name in lms}, **options)
        for name, predictor in self.named_parameters():
            predictor.lm = lms[name]
        self.lineage = state.get("lineage")

    def apply(self, settings: RunSettings) -> None:
        """Take over settings, and with them the parts that they describe; parts of the user's own stay."""
        self.settings = settings
        if not self._own["generator"]:
            described = _make_generator(settings)
            for name in ("codec", "column_order", "temperature", "branch_rows", "context_window", "info"):
                setattr(self.generator, name, getattr(described, name))
        if not self._own["sampler"]:
            self.sampler = SAMPLERS[settings.few_shots]()
        if not self._own["critic"]:
            critic = _make_critic(settings)
            if type(critic) is not type(self.critic):
                self.critic = critic
            elif self.critic is not None:
                self.critic.configure(settings)


class _SavedField(BaseModel):
    prefix: str
    description: str


class _SavedSignature(BaseModel):
    instructions: str
    fields: list[_SavedField]


class _SavedPredictor(BaseModel):
    signature: _SavedSignature
    demos: list[dict[str, Any]] = []


def _check_versions(state: dict[str, Any]) -> None:
    """Raise `ProgramError` for a program of a newer version: what it holds may mean something else here."""
    saved = dict((state.get("metadata") or {}).get("dependency_versions") or {})
    saved |= (state.get("lineage") or {}).get("versions") or {}
    for name in ("tagal-dspy", "dspy"):
        if name in saved and _minor(saved[name]) > _minor(version(name)):
            raise ProgramError(f"it was saved with {name} {saved[name]}, and this is {version(name)}; upgrade {name}")


def _minor(number: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", number)[:2]]


def _without_lm(predictor: dspy.Predict) -> dspy.Predict:
    stripped = copy.copy(predictor)
    stripped.lm = None
    return stripped


def _make_generator(settings: RunSettings) -> RowGenerator:
    n_rows = settings.rows_per_draw
    branch_rows = math.ceil(n_rows / settings.branches) if n_rows and settings.branches > 1 else None
    return RowGenerator(
        settings.codec,
        settings.column_order,
        settings.temperature,
        branch_rows,
        settings.context_window,
        settings.info,
    )


def _make_critic(settings: RunSettings) -> Critic | None:
    critic = CRITICS[settings.critic]()
    if critic is not None:
        critic.configure(settings)
    return critic
