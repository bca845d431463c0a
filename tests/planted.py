"""A model that obeys a planted sentence, a model that proposes it now and then, and a metric that rewards it."""

from __future__ import annotations

import json
import random
from typing import Any

import dspy
from scripts import shop_rows, shop_task

from tagal_dspy.modules import SynthLoop
from tagal_dspy.optimizers import Compiled, Tasks, compile_program, split_tasks
from tagal_dspy.runs import RunStore
from tagal_dspy.settings import Budget, RunSettings
from tagal_dspy.testing import Answer, Asked, scripted_lm

PLANTED = "Write young people only."
DECOY = "Write old people only."
N_ROWS = 10


def writer(asked: Asked, useful: bool = True) -> Answer:
    """Half of the people are young where the planted sentence stands in the instructions, and old for the decoy."""
    rng = random.Random(repr((asked.system, asked.turns)))
    rows = shop_rows(N_ROWS, rng).splitlines()
    age = {True: "21", False: "77"}.get(PLANTED in asked.system) if useful else None
    if age is not None and (PLANTED in asked.system or DECOY in asked.system):
        rows = [f"{age},{row.split(',', 1)[1]}" if rng.random() < 0.5 else row for row in rows]
    return {"rows": "\n".join(rows)}


def proposer(seed: int = 0, useful: bool = True) -> dspy.LM:
    """An LM that proposes the planted sentence in a third of its answers, the decoy in another."""

    def answer(asked: Asked) -> Answer:
        # COPRO asks one thing again and again; all others must be answered the same in another process.
        n_asked = len(lm.engine.asked) if "proposed_prefix_for_output_field" in asked.fields else 0
        rng = random.Random(f"{seed}/{asked.system}/{asked.turns}/{n_asked}")
        said = rng.choice([PLANTED, DECOY, f"Write well, number {rng.randrange(10**6)}."])
        if "module_advice" in asked.last + asked.system:
            advice = {"discussion": "none", "module_advice": {"generator.predict": said}}
            if "json" in asked.last.lower() or "json" in asked.system.lower():
                return json.dumps(advice)
            return {name: json.dumps(value) for name, value in advice.items()}
        return dict.fromkeys(asked.fields, said)

    lm = scripted_lm(answer, cache=False)
    return lm


def youth(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> dspy.Prediction:
    """The share of people under 40."""
    share = float((pred.table["age"] < 40).mean())
    feedback = f"only {share:.0%} of the people are under 40 (table {gold.seed})"
    return dspy.Prediction(score=share, feedback=feedback, objective_scores={"youth": share})


def program() -> SynthLoop:
    """One call a table."""
    return SynthLoop(RunSettings(n_iter=1, n_shots=2, critic="none", rows_per_draw=N_ROWS))


def tasks(seed: int = 0) -> Tasks:
    """Four tasks to train on, four to choose by, eight held out."""
    return split_tasks([shop_task()], N_ROWS, seed=seed)


def compiled(
    optimizer: Any = "gepa",
    seed: int = 0,
    *,
    useful: bool = True,
    budget: Budget | None = None,
    store: RunStore | None = None,
    lm: dspy.LM | None = None,
    **options: Any,
) -> tuple[Compiled, int]:
    """What an optimizer finds, and how many calls it made."""
    lm = lm or scripted_lm(lambda asked: writer(asked, useful), cache=False)
    reflection = proposer(seed)
    n_before = len(lm.engine.asked)
    with dspy.context(lm=lm):
        found = compile_program(
            program(),
            tasks(seed),
            youth,
            optimizer,
            budget=budget or Budget(max_calls=200),
            reflection_lm=reflection,
            store=store,
            seed=seed,
            **options,
        )
    return found, len(lm.engine.asked) - n_before + len(reflection.engine.asked)
