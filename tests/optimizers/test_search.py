"""The `optuna` optimizer: settings and instructions searched together."""

from __future__ import annotations

import random
from typing import Any

import dspy
import pytest
from planted import N_ROWS, PLANTED, instructions, people, people_tasks, proposer, seed_program, youth

from tagal_dspy.errors import SettingsError
from tagal_dspy.modules import SynthLoop
from tagal_dspy.optimizers import Compiled, compile_program
from tagal_dspy.optimizers.search import N_PROPOSALS
from tagal_dspy.recording import RunStore
from tagal_dspy.settings import Budget
from tagal_dspy.testing import Answer, Asked, scripted_lm

BOUNDS = {"column_order": ["original", "target-first"], "n_shots": [2, 6]}


def writer(asked: Asked) -> Answer:
    """Writes young people where the target is the first column, or where it is told to."""
    is_first = any("buys,age" in text for _, text in asked.turns)
    rng = random.Random(repr((asked.system, asked.turns, asked.seed)))
    rows = []
    for age, income, city, buys in people(N_ROWS, rng):
        if (is_first or PLANTED in asked.system) and rng.random() < 0.8:
            age = 21
        cells = [age, income, city, buys]
        rows.append(",".join(map(str, [buys, *cells[:3]] if is_first else cells)))
    return {"rows": "\n".join(rows)}


def searched(seed: int = 0, bounds: Any = BOUNDS, **options: Any) -> tuple[Compiled, int]:
    """What is found, and how many tables were written."""
    style = options.pop("style", "chat")
    lm = scripted_lm(writer, style=style, takes_grammar=True, cache=False)
    options = {"budget": Budget(max_calls=150), "reflection_lm": proposer(seed), **options}
    program = options.pop("program", seed_program())
    with dspy.context(lm=lm):
        found = compile_program(program, people_tasks(seed), youth, "optuna", seed=seed, bounds=bounds, **options)
    return found, len(lm.engine.asked)


def test_setting_that_helps_is_found_proven_and_saved(tmp_path: Any) -> None:
    found, n_tables = searched()
    assert found.improved
    assert found.program.settings.column_order == "target-first"
    assert found.program.generator.column_order == "target-first"
    assert n_tables <= 150
    found.program.save(tmp_path / "program.json")
    loaded = SynthLoop()
    loaded.load(tmp_path / "program.json")
    assert loaded.settings == found.program.settings
    settings = [each["settings"] for each in found.program.lineage["candidates"]]
    assert settings[0] == {}
    assert any(each.get("column_order") == "target-first" for each in settings)


def test_critic_can_be_among_the_settings() -> None:
    found, _ = searched(bounds={"critic": ["none", "measured", "eye"], "n_iter": [1, 2]}, budget=Budget(max_calls=400))
    tried = [each["settings"].get("critic", "none") for each in found.program.lineage["candidates"]]
    assert "eye" in tried
    assert "critic.predict" in found.program.lineage["candidates"][tried.index("eye")]["prompts"]


def test_program_of_the_caller_stays_as_it_was() -> None:
    program = seed_program()
    before = program.dump_state()
    searched(program=program)
    assert program.dump_state() == before


def test_losing_candidates_are_stopped_early() -> None:
    found, _ = searched(seed=1)
    counts = {len(each.scores) for each in found.lineage.candidates.values() if each.number and each.scores}
    assert min(counts) < 8
    assert max(counts) >= 8


def test_instructions_are_searched_with_the_settings() -> None:
    reflection_lm = scripted_lm(lambda asked: {"new_instructions": PLANTED}, cache=False)
    found, _ = searched(bounds={"n_shots": [2, 6]}, reflection_lm=reflection_lm)
    assert len(reflection_lm.engine.asked) == N_PROPOSALS
    assert found.improved
    assert PLANTED in instructions(found.program)


def test_model_that_continues_text_is_not_given_other_instructions() -> None:
    reflection_lm = proposer()
    found, _ = searched(style="continuation", reflection_lm=reflection_lm)
    assert not reflection_lm.engine.asked
    assert found.program.settings.column_order == "target-first"


def test_equal_seeds_find_the_same_program_without_another_call(tmp_path: Any) -> None:
    with RunStore(tmp_path / "run.sqlite") as store:
        first, n_first = searched(store=store)
        second, n_second = searched(store=store)
    assert (n_first > 0, n_second) == (True, 0)
    assert second.program.dump_state() == first.program.dump_state()


def test_bounds_of_what_cannot_be_searched_are_refused() -> None:
    lm = scripted_lm(writer)
    for bounds, match in [
        ({"method": ["synth-loop", "reduced-loop"]}, "method: a search of a program's settings cannot vary it"),
        ({"n_shot": [2, 4]}, "did you mean 'n_shots'"),
    ]:
        with dspy.context(lm=lm), pytest.raises(SettingsError, match=match):
            compile_program(
                seed_program(), people_tasks(), youth, "optuna", budget=Budget(max_calls=150), bounds=bounds
            )
    assert not lm.engine.asked


def test_optimizer_that_searches_instructions_alone_takes_no_bounds() -> None:
    with (
        dspy.context(lm=scripted_lm(writer)),
        pytest.raises(SettingsError, match="leave the bounds out, or use optuna"),
    ):
        compile_program(seed_program(), people_tasks(), youth, "gepa", budget=Budget(max_calls=150), bounds=BOUNDS)
