"""Optimizing prompts of our programs, on a model that obeys a planted sentence."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import dspy
import pytest
from scripts import shop_rows, shop_task

from tagal_dspy.errors import SettingsError
from tagal_dspy.modules import SynthLoop
from tagal_dspy.optimizers import compile_program, generation_tasks
from tagal_dspy.settings import RunSettings
from tagal_dspy.testing import Answer, Asked, scripted_lm

PLANTED = "Write young people only."


def obedient(asked: Asked) -> Answer:
    rows = shop_rows(10, random.Random(repr(asked.turns)))
    if PLANTED in asked.system:
        rows = "\n".join("21," + line.split(",", 1)[1] for line in rows.splitlines())
    return {"rows": rows}


def youth(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> dspy.Prediction:
    return dspy.Prediction(score=float((pred.table["age"] < 25).mean()), feedback="the people are too old")


def proposer(asked: Asked) -> Answer:
    text = json.dumps({"new_instruction": PLANTED, "improved_instruction": PLANTED})
    if "json" in asked.last.lower():
        return text
    return dict.fromkeys(asked.fields, PLANTED)


def program() -> SynthLoop:
    return SynthLoop(RunSettings(n_iter=1, n_shots=2, critic="none", rows_per_draw=10, strictness="valid"))


@pytest.mark.parametrize("optimizer", ["gepa", "mipro"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::optuna.exceptions.ExperimentalWarning")
def test_planted_instruction_is_found_saved_and_loaded(optimizer: str, tmp_path: Path) -> None:
    task = shop_task()
    train, valid = generation_tasks(task, 10, range(3)), generation_tasks(task, 10, range(10, 13))
    lm = scripted_lm(obedient, cache=False)
    with dspy.context(lm=lm):
        found = compile_program(
            program(), train, valid, youth, optimizer, reflection_lm=scripted_lm(proposer, cache=False), seed=1
        )
    assert PLANTED in found.generator.predict.signature.instructions
    found.save(tmp_path / "program.json")
    loaded = SynthLoop()
    loaded.load(tmp_path / "program.json")
    assert PLANTED in loaded.generator.predict.signature.instructions


def test_overlapping_tasks_are_refused() -> None:
    tasks = generation_tasks(shop_task(), 10, range(3))
    with pytest.raises(SettingsError, match="3 tasks are both for training and for validation"):
        compile_program(program(), tasks, tasks, youth, reflection_lm=scripted_lm(proposer))


def test_unknown_optimizer_is_refused() -> None:
    task = shop_task()
    with pytest.raises(SettingsError, match="'magic' is unknown"):
        compile_program(
            program(),
            generation_tasks(task, 10, [0]),
            generation_tasks(task, 10, [1]),
            youth,
            "magic",
            reflection_lm=scripted_lm(proposer),
        )


def test_tasks_hold_no_row() -> None:
    assert "Ghent" not in repr(generation_tasks(shop_task(), 10, [0]))
