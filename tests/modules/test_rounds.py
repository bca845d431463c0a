"""Many rounds at once: the order in which answers come changes nothing, and nothing is asked that nobody needs."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest
from scripts import other_roles, shop_rows, shop_task

from tagal_dspy.modules import METHODS, Progress, TagalLoop
from tagal_dspy.recording import Recorder, RunStore, load_run
from tagal_dspy.settings import Method, run_settings
from tagal_dspy.testing import Answer, Asked, scripted_lm

EVERY_METHOD = pytest.mark.parametrize("method", list(METHODS))
Run = Callable[..., dspy.Prediction]


def by_content(asked: Asked) -> Answer:
    """Rows that depend on what is asked alone: most of one city, ages and labels at random."""
    if "rows" not in asked.fields:
        return other_roles(asked)
    content = random.Random(repr((asked.turns, asked.extra, asked.seed)))
    stuck = [f"{content.randint(18, 79)},{content.randint(120, 560) / 10},Mons,yes" for _ in range(6)]
    return {"rows": "\n".join([*stuck, shop_rows(6, content)])}


def unsteady(at_once: int, seed: int) -> Callable[[Asked], Answer]:
    """The same answers, each after a time of its own, so many at once."""
    rng, lock, room = random.Random(seed), threading.Lock(), threading.Semaphore(at_once)

    def answer(asked: Asked) -> Answer:
        with lock:
            delay = rng.choice([0, 0, 0.001, 0.01])
        with room:
            time.sleep(delay)
        return by_content(asked)

    return answer


def on_threads(loop: TagalLoop, n_rows: int, **more: Any) -> dspy.Prediction:
    return loop(task=shop_task(), n_rows=n_rows, seed=3, **more)


def on_a_loop(loop: TagalLoop, n_rows: int, **more: Any) -> dspy.Prediction:
    async def main() -> dspy.Prediction:
        with ThreadPoolExecutor(64) as threads:
            asyncio.get_running_loop().set_default_executor(threads)
            return await loop.acall(task=shop_task(), n_rows=n_rows, seed=3, **more)

    return asyncio.run(main())


def closed_loop(method: Method) -> TagalLoop:
    """Grounded, with all that reads what was accepted before: curation, steering, residual few-shots."""
    reads = {"curation": "labels", "steering": "grammar", "few_shots": "residual"}
    asks = {"n_iter": 2, "n_shots": 2, "rows_per_draw": 5, "rounds_ahead": 16}
    return METHODS[method](run_settings("grounded", method=method, **reads, **asks))


@EVERY_METHOD
def test_table_is_the_same_to_the_byte_at_any_concurrency_and_in_any_order(method: Method) -> None:
    found = []
    for seed, (at_once, run) in enumerate([(1, on_threads), (7, on_a_loop), (64, on_threads), (64, on_a_loop)]):
        lm = scripted_lm(unsteady(at_once, seed), takes_grammar=True, cache=False)
        with dspy.context(lm=lm):
            made = run(closed_loop(method), 40)
        found.append((made.table.to_csv().encode(), made.rejects, [(turn.round, turn.answer) for turn in made.turns]))
    assert all(each == found[0] for each in found)
    assert len({reject.reason for reject in found[0][1]}) > 1


@pytest.mark.parametrize("ahead", [2, 16])
def test_what_is_steered_does_not_depend_on_the_order_of_arrival(ahead: int) -> None:
    prompts = []
    for seed in range(4):
        lm = scripted_lm(unsteady(64, seed), takes_grammar=True, cache=False)
        settings = {"few_shots": "residual", "steering": "grammar", "rounds_ahead": ahead, "rows_per_draw": 5}
        loop = METHODS["synth-loop"](run_settings("grounded", critic="none", n_iter=1, shares="free", **settings))
        with dspy.context(lm=lm):
            n_draws = on_threads(loop, 100).n_draws
        # Those after the last row that was needed were asked, or were not.
        prompts.append({(asked.last, asked.extra["grammar"]) for asked in lm.engine.asked})
        assert len(prompts[-1]) >= n_draws
    assert len(set.union(*prompts)) - len(set.intersection(*prompts)) <= ahead


@pytest.mark.parametrize("run", [on_threads, on_a_loop])
def test_after_the_last_row_nothing_is_asked_but_what_is_under_way(run: Run, tmp_path: Path) -> None:
    n_then = 0

    def answer(asked: Asked) -> Answer:
        time.sleep(
            0 if asked.turns[0][1] == first else 0.3
        )  # the first conversation is over when the others have begun
        if "rows" in asked.fields:
            return {"rows": shop_rows(300, random.Random(repr(asked.turns)))}
        return other_roles(asked)

    def on_progress(progress: Progress) -> None:
        nonlocal n_then
        assert len(progress.rows) == progress.n_wanted == 100
        n_then = len(lm.engine.asked)

    lm = scripted_lm(answer, cache=False)
    loop = METHODS["synth-loop"](run_settings("paper", critic="none", n_iter=3, n_shots=2, surplus="first"))
    with dspy.context(lm=lm):
        first = loop.preview(shop_task(), 100, seed=3)[0][-1]["content"]
    with dspy.context(lm=lm), RunStore(tmp_path / "run.sqlite") as store:
        made = run(loop, 100, on_progress=on_progress, recorder=Recorder(store))
    assert len(made.turns) == 3
    assert n_then <= 3 + 4
    assert len(lm.engine.asked) <= 3 + 4  # five rounds were wanted: four have a call under way
    assert load_run(tmp_path / "run.sqlite").n_calls == made.usage["scripted/model"]["calls"] == len(lm.engine.asked)
