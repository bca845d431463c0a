"""`load_program`: a saved program as the class that it was saved from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tagal_dspy.errors import ProgramError, SettingsError
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.prompt_refine import PromptRefine
from tagal_dspy.modules.reduced_loop import ReducedLoop
from tagal_dspy.modules.synth_loop import SynthLoop
from tagal_dspy.settings import Method, RunSettings, validated

METHODS: dict[Method, type[TagalLoop]] = {
    "synth-loop": SynthLoop,
    "reduced-loop": ReducedLoop,
    "prompt-refine": PromptRefine,
}


def load_program(path: Path, **settings: Any) -> TagalLoop:
    """Load what `program.save(path)` wrote.

    Args:
        path: a .json file. Programs with parts of your own are loaded with `load` by a program that has them.
        settings: fields of `RunSettings` to use instead of the saved ones. With another method, roles that the saved
            program has too keep their prompts.

    Raises:
        ProgramError: the file cannot be read, or does not hold a program of this structure and version.
        SettingsError: a setting is unknown or impossible.
    """
    state = _read(path)
    saved = state.get("settings")
    method = saved.get("method") if isinstance(saved, dict) else None
    if not isinstance(method, str) or method not in METHODS:
        raise ProgramError(f"{path} does not hold a program of tagal_dspy; give a file that a program was saved to")
    program = METHODS[method]()
    try:
        program.load_state(state)
    except (ProgramError, SettingsError) as error:
        raise ProgramError(f"{path} cannot be loaded: {error}") from error
    return _changed(program, settings) if settings else program


def _changed(saved: TagalLoop, settings: dict[str, Any]) -> TagalLoop:
    """A saved program with other settings."""
    changed = validated(RunSettings, {**saved.settings.model_dump(), **settings})
    program = METHODS[changed.method](changed)
    prompts = dict(saved.named_predictors())
    for name, predictor in program.named_predictors():
        if name in prompts:
            predictor.load_state(prompts[name].dump_state())
    program.lineage = saved.lineage
    return program


def _read(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProgramError(f"the program {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"{path} does not hold a program: it cannot be read as JSON") from error
    return state if isinstance(state, dict) else {}
