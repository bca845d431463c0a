"""Synthetic tabular data from LLMs, as optimisable DSPy programs.

Names are loaded at first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagal_dspy.datasets import load_dataset
    from tagal_dspy.engines import make_lm
    from tagal_dspy.errors import NotEnoughRowsError, TagalError
    from tagal_dspy.metrics import TableMetric, TableReport, evaluate
    from tagal_dspy.modules import GenerateAndFilter, PromptRefine, ReducedLoop, RowGenerator, SynthLoop, load_program
    from tagal_dspy.obfuscation import Obfuscated, obfuscated
    from tagal_dspy.optimizers import compile_program, generation_tasks, split_tasks, transfer
    from tagal_dspy.recording import Recorder, RunStore, Usage
    from tagal_dspy.schema import SchemaOverrides, TableSchema
    from tagal_dspy.settings import Budget, RunSettings, run_settings
    from tagal_dspy.synthesizer import TagalSynthesizer
    from tagal_dspy.task import TableTask

_HOMES = {
    "Budget": "settings",
    "GenerateAndFilter": "modules",
    "NotEnoughRowsError": "errors",
    "Obfuscated": "obfuscation",
    "PromptRefine": "modules",
    "Recorder": "recording",
    "ReducedLoop": "modules",
    "RowGenerator": "modules",
    "RunSettings": "settings",
    "RunStore": "recording",
    "SchemaOverrides": "schema",
    "SynthLoop": "modules",
    "TableMetric": "metrics",
    "TableReport": "metrics",
    "TableSchema": "schema",
    "TableTask": "task",
    "TagalError": "errors",
    "TagalSynthesizer": "synthesizer",
    "Usage": "recording",
    "compile_program": "optimizers",
    "evaluate": "metrics",
    "generation_tasks": "optimizers",
    "load_dataset": "datasets",
    "load_program": "modules",
    "make_lm": "engines",
    "obfuscated": "obfuscation",
    "run_settings": "settings",
    "split_tasks": "optimizers",
    "transfer": "optimizers",
}

__all__ = [
    "Budget",
    "GenerateAndFilter",
    "NotEnoughRowsError",
    "Obfuscated",
    "PromptRefine",
    "Recorder",
    "ReducedLoop",
    "RowGenerator",
    "RunSettings",
    "RunStore",
    "SchemaOverrides",
    "SynthLoop",
    "TableMetric",
    "TableReport",
    "TableSchema",
    "TableTask",
    "TagalError",
    "TagalSynthesizer",
    "Usage",
    "compile_program",
    "evaluate",
    "generation_tasks",
    "load_dataset",
    "load_program",
    "make_lm",
    "obfuscated",
    "run_settings",
    "split_tasks",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
