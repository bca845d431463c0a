"""A model that obeys a planted sentence, one that proposes it now and then, and a metric that rewards it.

A person of the table is under 40 in a third of the rows that the model writes. Where its instructions hold the planted
sentence, it makes half of its rows young, and half of the others old where they hold the decoy: two thirds, or a sixth,
are young then. A table of ten rows so tells the planted sentence by 0.33, with a standard deviation of 0.15. The
proposer answers with the planted sentence in a quarter of its proposals, with the decoy in another, and with something
that changes nothing in the rest, each worded anew. Useless, the model writes the same whatever it is told.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import dspy
import pandas as pd

from tagal_dspy import RunSettings, SynthLoop, TableTask
from tagal_dspy.optimizers import Compiled, Tasks, compile_program, split_tasks
from tagal_dspy.recording import RunStore
from tagal_dspy.settings import Budget
from tagal_dspy.testing import Answer, Asked, scripted_lm

PLANTED = "Write young people only."
DECOY = "Write old people only."
N_ROWS = 10
CITIES = ["Ghent", "Leuven", "Mons"]


def people(n_rows: int, rng: random.Random) -> list[tuple[int, float, str, str]]:
    """Rows of the table that is written: age, income, city, and whether they buy."""
    return [
        (rng.randint(20, 78), round(rng.uniform(12, 55), 1), rng.choice(CITIES), rng.choice(["yes", "no"]))
        for _ in range(n_rows)
    ]


def people_frame() -> pd.DataFrame:
    """The real rows."""
    return pd.DataFrame(people(120, random.Random(0)), columns=["age", "income", "city", "buys"])


def writer(asked: Asked, useful: bool = True) -> Answer:
    """Rows that depend on what is asked and on the seed of the draw, as those of any model that samples."""
    rng = random.Random(repr((asked.system, asked.turns, asked.seed)))
    rows = []
    for age, *others in people(N_ROWS, rng):
        if useful and PLANTED in asked.system and rng.random() < 0.5:
            age = 21
        elif useful and DECOY in asked.system and rng.random() < 0.5:
            age = 77
        rows.append(",".join(map(str, [age, *others])))
    return {"rows": "\n".join(rows)}


def obedient_lm(answer: Callable[[Asked], Answer] = writer) -> dspy.LM:
    """Told the seed of a draw, so that SIMBA, which samples a program several times, gets different tables."""
    return scripted_lm(answer, takes_grammar=True, cache=False)


def proposer(
    seed: int = 0,
    answered: Iterable[str] = (),
    around: Callable[[Callable[[Asked], Answer]], Callable[[Asked], Answer]] = lambda answer: answer,
) -> dspy.LM:
    """An LM that proposes instructions; asked the same again, it proposes others.

    Args:
        seed: of the proposals.
        answered: what was answered before, in another process.
        around: makes of its function the one that answers.
    """
    before, counts, lock = "\n".join(answered), Counter[str](), threading.Lock()

    def answer(asked: Asked) -> Answer:
        question = hashlib.sha256(f"{seed}/{asked.system}/{asked.turns}".encode()).hexdigest()[:8]
        with lock:
            counts[question] += 1
            name = f"{question}-{before.count(question) + counts[question]}"
        said = f"{random.Random(name).choice([PLANTED, DECOY, 'Write well.', 'Take care.'])} (Idea {name}.)"
        if "module_advice" in asked.last + asked.system:
            advice = {"discussion": "none", "module_advice": {"generator.predict": said}}
            if "json" in asked.last.lower() or "json" in asked.system.lower():
                return json.dumps(advice)
            return {name: json.dumps(value) for name, value in advice.items()}
        return dict.fromkeys(asked.fields[:1], said) | dict.fromkeys(asked.fields[1:], "Rows:")

    return scripted_lm(around(answer), model="scripted/proposer", cache=False)


def youth(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> dspy.Prediction:
    """The share of people under 40."""
    share = float((pred.table["age"] < 40).mean())
    feedback = f"only {share:.0%} of the people are under 40 (table {gold.seed})"
    return dspy.Prediction(score=share, feedback=feedback, objective_scores={"youth": share})


def seed_program() -> SynthLoop:
    """One call a table."""
    return SynthLoop(RunSettings(n_iter=1, n_shots=2, critic="none", rows_per_draw=N_ROWS))


def people_tasks(seed: int = 0) -> Tasks:
    """Four tasks to train on, four to choose by, twelve held out."""
    return split_tasks([TableTask(people_frame(), target="buys")], N_ROWS, n_held_out=12, seed=seed)


def compiled(
    optimizer: Any = "gepa",
    seed: int = 0,
    *,
    useful: bool = True,
    budget: Budget | None = None,
    store: RunStore | None = None,
    lm: dspy.LM | None = None,
    reflection_lm: dspy.LM | None = None,
    **options: Any,
) -> tuple[Compiled, int]:
    """What an optimizer finds, and how many calls it made."""
    lm = lm or obedient_lm(lambda asked: writer(asked, useful))
    reflection_lm = reflection_lm or proposer(seed)
    n_before = len(lm.engine.asked)
    with dspy.context(lm=lm):
        found = compile_program(
            seed_program(),
            people_tasks(seed),
            youth,
            optimizer,
            budget=budget or Budget(max_calls=200),
            reflection_lm=reflection_lm,
            store=store,
            seed=seed,
            **options,
        )
    return found, len(lm.engine.asked) - n_before + len(reflection_lm.engine.asked)


def instructions(program: SynthLoop) -> str:
    """Those of its generator."""
    return str(program.generator.predict.signature.instructions)
