"""Compiling programs with DSPy's optimizers, on a model that obeys a planted sentence."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest
from planted import (
    PLANTED,
    compiled,
    instructions,
    people_frame,
    people_tasks,
    proposer,
    seed_program,
    writer,
    youth,
)
from scripts import shop_frame, shop_task

from tagal_dspy.engines import Prices, pricing
from tagal_dspy.errors import BudgetError, EngineError, SettingsError
from tagal_dspy.modules import SynthLoop
from tagal_dspy.optimizers import Compiled, Tasks, compile_program, generation_tasks, planned, split_tasks
from tagal_dspy.optimizers.lineage import prompt_diff
from tagal_dspy.optimizers.power import provable_gain
from tagal_dspy.optimizers.tasks import task_key
from tagal_dspy.recording import RunStore, load_run
from tagal_dspy.settings import Budget
from tagal_dspy.task import TableTask
from tagal_dspy.testing import Answer, Asked, scripted_lm

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::optuna.exceptions.ExperimentalWarning", "ignore::UserWarning"
)
OPTIMIZERS = ["gepa", "mipro", "copro", "simba"]


@pytest.fixture(scope="module")
def found() -> Compiled:
    """What GEPA finds."""
    return compiled("gepa", seed=1, budget=Budget(max_calls=120))[0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_planted_sentence_is_found_and_proven_on_held_out_tasks(optimizer: str) -> None:
    found, n_calls = compiled(optimizer, seed=1)
    assert found.improved
    assert found.verdict.startswith("significant gain")
    assert PLANTED in instructions(found.program)
    assert found.gain is not None
    assert found.gain.low > 0
    assert n_calls <= 200


def test_useless_sentence_leaves_the_seed_program() -> None:
    found, _ = compiled("gepa", seed=1, useful=False, budget=Budget(max_calls=100))
    assert not found.improved
    assert "the seed program stays" in found.verdict or found.verdict.startswith("no other program")
    assert instructions(found.program) == instructions(seed_program())


class Rewording:
    """An optimizer that finds one program, which writes people of 21 only."""

    def compile(self, program: SynthLoop, trainset: list[dspy.Example]) -> SynthLoop:
        found = program.deepcopy()
        predict = found.generator.predict
        predict.signature = predict.signature.with_instructions(f"{predict.signature.instructions} {PLANTED}")
        return found


def reworded(even: float, odd: float) -> Compiled:
    """What comes of a program that scores so much more than the seed program on tasks of even and of odd seeds."""

    def answer(asked: Asked) -> Answer:
        age = 21 if PLANTED in asked.system else 60
        return {"rows": "\n".join(f"{age},{20 + place}.5,Ghent,yes" for place in range(10))}

    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> float:
        gain = odd if gold.seed % 2 else even
        return 0.5 + (gain if (pred.table["age"] == 21).all() else 0.0)

    with dspy.context(lm=scripted_lm(answer, cache=False)):
        return compile_program(seed_program(), people_tasks(), metric, Rewording(), budget=Budget(max_calls=200))


def test_gain_within_noise_is_not_claimed() -> None:
    found = reworded(even=0.3, odd=-0.1)
    assert found.gain is not None
    assert found.gain.difference == pytest.approx(0.1)
    assert 0.05 < found.gain.p_value < 0.5
    assert not found.improved
    assert instructions(found.program) == instructions(seed_program())


def test_significant_loss_leaves_the_seed_program() -> None:
    found = reworded(even=-0.2, odd=-0.1)
    assert found.gain is not None
    assert found.gain.high < 0
    assert found.gain.p_value < 0.05
    assert not found.improved
    assert instructions(found.program) == instructions(seed_program())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_budget_of_calls_is_never_exceeded_by_sixteen_threads(optimizer: str) -> None:
    found, n_calls = compiled(optimizer, budget=Budget(max_calls=100), n_threads=16)
    assert n_calls <= 100
    assert sum(used["calls"] for used in found.usage.values()) == n_calls


def test_budget_of_money_ends_a_compilation() -> None:
    prices = pricing(Prices(1e-6, 1e-6))
    found, _ = compiled("gepa", budget=Budget(max_cost=0.08), price=prices, n_threads=1)
    assert found.usage.cost is not None
    assert 0.02 < found.usage.cost <= 0.08


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from planted import compiled, obedient_lm, writer
from tagal_dspy.recording import RunStore
from tagal_dspy.settings import Budget

def dying(asked):
    if len(lm.engine.asked) > 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return writer(asked)

lm = obedient_lm(dying)
with RunStore(Path(sys.argv[2])) as store:
    compiled("gepa", seed=1, store=store, lm=lm, budget=Budget(max_calls=80))
"""


def test_killed_compilation_is_not_paid_again_and_ends_the_same(tmp_path: Path) -> None:
    path, budget = tmp_path / "run.sqlite", Budget(max_calls=80)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(Path(__file__).parents[1]), str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    n_recorded = load_run(path).n_calls
    with RunStore(tmp_path / "whole.sqlite") as store:
        first, n_first = compiled("gepa", seed=1, store=store, budget=budget)
    with RunStore(path) as store:
        second, n_second = compiled("gepa", seed=1, store=store, budget=budget)
        third, n_third = compiled("gepa", seed=1, store=store, budget=budget)
    assert n_recorded >= 18
    assert n_recorded + n_second == n_first
    states = [each.program.dump_state() for each in (first, second, third)]
    assert states[2] == states[1]
    for state in states[:2]:  # which tables of the last candidate were paid before the budget ended it may differ
        del state["lineage"]["usage"]
    assert states[1] == states[0]
    assert n_third == 0


def test_record_of_other_tasks_is_refused(tmp_path: Path) -> None:
    from tagal_dspy.errors import RunError

    with RunStore(tmp_path / "run.sqlite") as store:
        store.begin({"optimizer": "copro"})
        with pytest.raises(RunError, match=r"the run .* is of something else"):
            compiled("gepa", store=store)


def test_optimizer_object_of_a_user_is_driven_and_measured() -> None:
    own = dspy.COPRO(prompt_model=proposer(1), metric=youth, breadth=5, depth=1)
    found, _ = compiled(own, seed=1)
    assert found.improved
    assert len(found.lineage.candidates) >= 4


def test_demos_have_to_be_allowed() -> None:
    with pytest.raises(SettingsError, match=r"bootstrap makes demos, which hold real rows; allow them"):
        compiled("bootstrap")
    found, _ = compiled("bootstrap", demos=True)
    assert found.lineage.candidates


def test_objectives_give_a_pareto_set(found: Compiled) -> None:
    assert {"youth", "cost"} <= set(found.pareto[0].mean_objectives)
    valid = {task_key(each) for each in people_tasks(1).valid}
    whole = [each for each in found.lineage.candidates.values() if valid <= set(each.objectives)]
    best = max(whole, key=lambda each: each.mean_objectives["youth"])
    assert best.number in {each.number for each in found.pareto}


def test_candidates_tell_parent_diff_cost_and_rows_that_are_not_real(found: Compiled) -> None:
    seed, *others = found.lineage.candidates.values()
    assert found.lineage.parent(seed) is None
    child = next(each for each in others if PLANTED in each.prompts["generator.predict"])
    parent = list(found.lineage.candidates.values())[found.lineage.parent(child) or 0]
    assert f"+{PLANTED}" in prompt_diff(parent.prompts, child.prompts)
    assert child.tokens > 0
    assert len(child.sample.splitlines()) == 4
    real = set(people_frame().to_csv(index=False).splitlines()[1:])
    assert not real & set(child.sample.splitlines()[1:])


def test_saved_program_holds_its_lineage_and_no_real_row(found: Compiled, tmp_path: Path) -> None:
    path = tmp_path / "program.json"
    found.program.save(path)
    text = path.read_text()
    assert not any(row in text for row in people_frame().to_csv(index=False).splitlines()[1:])
    loaded = SynthLoop()
    loaded.load(path)
    assert PLANTED in instructions(loaded)
    assert loaded.lineage == json.loads(text)["lineage"]
    assert loaded.lineage["verdict"] == found.verdict
    assert {"tagal-dspy", "dspy"} <= set(loaded.lineage["versions"])


def test_plan_says_what_a_budget_pays_for() -> None:
    with dspy.context(lm=scripted_lm(writer)):
        plan = planned(seed_program(), people_tasks(), "gepa", Budget(max_calls=100))
    assert (plan.calls, plan.proof_tables, plan.tables) == (1, 24, 76)


def refuse(match: str, error: type[Exception] = SettingsError, **changed: Any) -> None:
    asked: list[Asked] = []

    def answer(question: Asked) -> Answer:
        asked.append(question)
        return writer(question)

    given: dict[str, Any] = {
        "tasks": people_tasks(),
        "metric": youth,
        "optimizer": "gepa",
        "budget": Budget(max_calls=200),
        "lm": scripted_lm(answer, cache=False),
        **changed,
    }
    lm = given.pop("lm")
    with dspy.context(lm=lm), pytest.raises(error, match=match):
        compile_program(seed_program(), **given)
    assert asked == []


def test_unknown_optimizer_is_refused() -> None:
    refuse("optimizer 'gepq' is unknown; did you mean 'gepa'", optimizer="gepq")
    refuse("dict is not an optimizer", optimizer={})


def test_budget_too_small_for_one_candidate_says_how_much_is_needed() -> None:
    refuse("too small for one candidate: 38 tables of about 1 calls .* take 38 calls", budget=Budget(max_calls=20))
    refuse("a compilation needs a budget", budget=Budget())


def test_metric_that_takes_other_arguments_is_refused() -> None:
    refuse("the metric must take", metric=lambda gold, pred: 0.0)


def test_overlapping_tasks_are_refused() -> None:
    train, valid, held_out = people_tasks()
    refuse("4 tasks are both in train and in held_out", tasks=Tasks(train, valid, [*held_out, *train]))
    refuse("1 tasks are both in train and in valid", tasks=Tasks(train, [*valid, train[0]], held_out))
    refuse("2 tasks in held_out; give at least 6", tasks=Tasks(train, valid, held_out[:2]))


def test_missing_language_model_is_an_error() -> None:
    refuse("no language model", EngineError, lm=None)


def test_budget_that_ends_before_the_seed_program_is_measured_is_an_error() -> None:
    def chatty(asked: Asked) -> Answer:
        return {"rows": f"{writer(asked)['rows']}\n{'x' * 200_000}"}  # type: ignore[index]

    with pytest.raises(BudgetError, match="the budget of 60000 tokens is used up"):
        compiled("gepa", budget=Budget(max_tokens=60_000), lm=scripted_lm(chatty, cache=False), n_threads=1)


def test_budget_of_money_needs_a_price_and_enough_money() -> None:
    refuse("the price of the model is not known", budget=Budget(max_cost=1))
    refuse(
        r"too small for one candidate: .* \(\$0.0[23]\d*\)",
        budget=Budget(max_cost=0.02),
        price=pricing(Prices(1e-6, 1e-6)),
    )


def test_tasks_hold_no_row() -> None:
    assert "Ghent" not in repr(generation_tasks(shop_task(), 10, [0]))


def test_last_of_several_tables_is_held_out() -> None:
    from tagal_dspy.task import TableTask

    first, second, third = (TableTask(shop_frame(seed=seed), target="buys") for seed in range(3))
    split = split_tasks([first, second, third], 10)
    assert {each.task.id for each in split.held_out} == {third.id}
    assert {each.task.id for each in split.train} == {each.task.id for each in split.valid} == {first.id, second.id}
    split.check()


def test_more_held_out_tasks_prove_a_smaller_gain() -> None:
    table = TableTask(people_frame(), target="buys")
    few, many = (split_tasks([table], 10, n_held_out=n) for n in (6, 24))
    with dspy.context(lm=None):
        large, small = (provable_gain(tasks, youth) for tasks in (few, many))
    # A share of ten rows has a standard deviation of 0.15; t quantiles of 5 and 23 degrees of freedom.
    assert 0.15 < large < 0.6
    assert small < large / 2
