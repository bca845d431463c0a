"""Many rounds at once: the order in which answers come changes nothing, and nothing is asked that nobody needs."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import LMError
from scripts import other_roles, shop_rows, shop_task

from tagal_dspy.background import run_in_background
from tagal_dspy.conditions import Slot
from tagal_dspy.errors import BudgetError, EngineError
from tagal_dspy.modules import METHODS, Critic, Progress, SynthLoop, TagalLoop
from tagal_dspy.modules.critics import Written
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.turns import Conversation, DrawRequest
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.recording import Recorder, RunStore, load_run
from tagal_dspy.settings import Budget, Method, RunSettings, run_settings
from tagal_dspy.task import TableTask
from tagal_dspy.testing import Answer, Asked, scripted_lm

EVERY_METHOD = pytest.mark.parametrize("method", list(METHODS))
Making = Callable[..., dspy.Prediction]


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


@pytest.mark.parametrize(("method", "n_refused"), [("synth-loop", 5), ("reduced-loop", 9), ("prompt-refine", 9)])
def test_early_end_is_the_same_at_any_concurrency_though_rows_were_under_way(method: Method, n_refused: int) -> None:
    ids = closed_loop(method).new_run(shop_task(), 400, 3)
    refused = {ids.rollout_id(number, place, "draw") for number in range(n_refused) for place in range(2)}

    def answer(asked: Asked) -> Answer:
        if "rows" in asked.fields and asked.seed in refused:
            time.sleep(0.02)
            return "I cannot."
        return by_content(asked)

    found = []
    for at_once, run in [(1, on_threads), (64, on_threads), (64, on_a_loop)]:
        room = threading.Semaphore(at_once)

        def in_turn(asked: Asked, room: threading.Semaphore = room) -> Answer:
            with room:
                return answer(asked)

        lm = scripted_lm(in_turn, takes_grammar=True, cache=False)
        with dspy.context(lm=lm):
            made = run(closed_loop(method), 400, if_short="return")
        found.append((len(made.table), made.rejects, [(turn.round, turn.iteration) for turn in made.turns]))
        assert (made.n_draws, len(made.table)) == (10, 0)
    assert all(each == found[0] for each in found)
    assert any(asked.seed not in refused for asked in lm.engine.asked) or method != "synth-loop"


@pytest.mark.parametrize("run", [on_threads, on_a_loop])
def test_after_the_last_row_nothing_is_asked_but_what_is_under_way(run: Making, tmp_path: Path) -> None:
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


# What a budget begins, and what it leaves


class Spied(SynthLoop):
    """Tells which conversations were begun, and which of them ended."""

    def __init__(self, settings: RunSettings) -> None:
        super().__init__(settings)
        self.begun: list[int] = []
        self.ended: list[int] = []

    async def conversation(self, run: Run, request: DrawRequest, **bounds: Any) -> Conversation:
        self.begun.append(request.number)
        talk = await super().conversation(run, request, **bounds)
        self.ended.append(request.number)
        return talk


@pytest.mark.parametrize("rounds_ahead", [1, 16])
@pytest.mark.parametrize(("max_calls", "n_begun"), [(4, 1), (7, 1), (8, 2), (14, 3)])
def test_budget_begins_no_more_conversations_than_it_can_end(max_calls: int, n_begun: int, rounds_ahead: int) -> None:
    lm = scripted_lm(by_content, takes_grammar=True, cache=False)
    loop = Spied(run_settings("paper", n_iter=2, n_shots=2, rounds_ahead=rounds_ahead))
    recorder = Recorder(budget=Budget(max_calls=max_calls))
    with dspy.context(lm=lm), pytest.raises(BudgetError) as caught:
        on_threads(loop, 500, recorder=recorder)
    assert sorted(loop.ended) == loop.begun == list(range(n_begun))
    assert len(lm.engine.asked) == recorder.usage.calls == 4 * n_begun
    assert len(caught.value.prediction.turns) == 2 * n_begun
    assert len(caught.value.prediction.table) == 12 * n_begun


@pytest.mark.parametrize(("method", "n_before"), [("reduced-loop", 2), ("prompt-refine", 5)])
def test_budget_is_spent_to_the_last_call_where_draws_are_single(method: Method, n_before: int) -> None:
    lm = scripted_lm(by_content, takes_grammar=True, cache=False)
    loop = METHODS[method](run_settings("paper", method=method, n_iter=2, n_shots=2))
    with dspy.context(lm=lm), pytest.raises(BudgetError, match="budget of 9 calls is used up") as caught:
        on_threads(loop, 500, recorder=Recorder(budget=Budget(max_calls=9)))
    assert len(lm.engine.asked) == 9
    draws = caught.value.prediction.turns[n_before // 2 :]
    assert len(draws) == 9 - n_before
    assert len(caught.value.prediction.table) == sum(len(set(turn.rows)) for turn in draws)


def costs_of_calls(settings: RunSettings) -> list[int]:
    """The tokens that are used up after each call of the first conversation."""
    taken: list[int] = []
    recorder = Recorder(on_usage=lambda usage: taken.append(usage.tokens))
    with dspy.context(lm=scripted_lm(by_content, takes_grammar=True, cache=False)):
        on_threads(SynthLoop(settings), 1, recorder=recorder)
    return taken


@pytest.mark.parametrize("preset", ["paper", "grounded"])
@pytest.mark.parametrize(("n_calls", "n_turns"), [(1, 1), (2, 1), (3, 2)])
def test_what_finished_turns_brought_comes_with_the_error_where_tokens_end_a_conversation(
    preset: str, n_calls: int, n_turns: int
) -> None:
    settings = run_settings(preset, n_iter=3, n_shots=2, critic="eye", keep="last", shares="free", rounds_ahead=1)
    limit = costs_of_calls(settings)[n_calls - 1]
    lm = scripted_lm(by_content, takes_grammar=True, cache=False)
    with dspy.context(lm=lm), pytest.raises(BudgetError, match=f"budget of {limit} tokens is used up") as caught:
        on_threads(SynthLoop(settings), 500, recorder=Recorder(budget=Budget(max_tokens=limit)))
    assert len(lm.engine.asked) == n_calls
    made = caught.value.prediction
    assert [turn.iteration for turn in made.turns] == list(range(n_turns))
    assert set(shop_task().schema.to_rows(made.table)) == set(made.turns[-1].rows)


@EVERY_METHOD
def test_draws_that_failed_come_with_the_error_where_the_budget_ends_a_conversation(method: Method) -> None:
    def answer(asked: Asked) -> Answer:
        return {"rows": "none"} if len(lm.engine.asked) > 2 else by_content(asked)

    lm = scripted_lm(answer, cache=False)
    loop = METHODS[method](run_settings("paper", method=method, n_iter=3, n_shots=2, max_failed_draws=9))
    with dspy.context(lm=lm), pytest.raises(BudgetError) as caught:
        on_threads(loop, 500, recorder=Recorder(budget=Budget(max_calls=7)))
    assert [len(turn.rows) for turn in caught.value.prediction.turns] == [0] * 5 + [12]


def test_rows_of_a_round_that_was_thrown_away_do_not_come_with_the_error() -> None:
    thrown_away, order, failed = threading.Event(), list[str](), list[str]()

    class InOrder(SynthLoop):
        async def conversation(self, run: Run, request: DrawRequest, **bounds: Any) -> Conversation:
            while len(order) < request.number:
                await asyncio.sleep(0.001)
            return await super().conversation(run, request, **bounds)

    def answer(asked: Asked) -> Answer:
        first = asked.turns[0][1]
        if "rows" not in asked.fields:
            if "41,12.5" in first:  # the critique of the round before
                assert thrown_away.wait(5)
            return other_roles(asked)
        if first not in order:
            order.append(first)
        number = order.index(first)
        if number == 2 and len(asked.turns) > 1:
            failed.append("none")
            if len(failed) == 3:
                thrown_away.set()
                return {"rows": "x" * 160_000}  # all tokens
            return {"rows": "none"}
        return {"rows": f"4{number},12.5,Mons,no"}

    loop = InOrder(run_settings("paper", n_iter=3, n_shots=2, rounds_ahead=3))
    with dspy.context(lm=scripted_lm(answer, cache=False)), pytest.raises(BudgetError) as caught:
        on_threads(loop, 30, recorder=Recorder(budget=Budget(max_tokens=40_000)))
    assert 42 not in caught.value.prediction.table["age"].tolist()


def test_no_more_rows_of_a_class_than_wanted_come_with_the_error_of_a_budget() -> None:
    def answer(asked: Asked) -> Answer:
        return {"rows": "\n".join(f"30,{number}.5,Mons,yes" for number in range(20, 40))}

    wanted = Wanted(quotas={Slot("yes"): 5, Slot("no"): 5})
    loop = SynthLoop(run_settings("paper", n_iter=1, n_shots=2, critic="none", rounds_ahead=1))
    with dspy.context(lm=scripted_lm(answer, cache=False)), pytest.raises(BudgetError) as caught:
        on_threads(loop, 10, wanted=wanted, recorder=Recorder(budget=Budget(max_calls=2)))
    assert "5 of 10 rows accepted" in str(caught.value)
    assert len(caught.value.prediction.table) == 5


@EVERY_METHOD
@pytest.mark.parametrize("rounds_ahead", [1, 16])
def test_budget_that_just_suffices_gives_the_same_table_as_none(method: Method, rounds_ahead: int) -> None:
    def made(max_calls: int | None) -> tuple[dspy.Prediction, int]:
        lm = scripted_lm(by_content, takes_grammar=True, cache=False)
        loop = METHODS[method](run_settings("paper", method=method, n_iter=2, n_shots=2, rounds_ahead=rounds_ahead))
        recorder = Recorder(budget=Budget(max_calls=max_calls))
        with dspy.context(lm=lm):
            return on_threads(loop, 40, recorder=recorder), len(lm.engine.asked)

    free, _ = made(None)
    n_needed = sum(1 + bool(turn.critique) for turn in free.turns) + (method == "prompt-refine")
    held, n_asked = made(n_needed)
    assert n_asked == n_needed
    assert held.table.equals(free.table)
    assert (held.rejects, held.turns) == (free.rejects, free.turns)
    with pytest.raises(BudgetError):
        made(n_needed - 1)


# What is under way when a run ends


def many_draws() -> TagalLoop:
    """Four rounds of one draw at once."""
    return SynthLoop(run_settings("grounded", n_iter=1, n_shots=2, critic="none", rows_per_draw=5, rounds_ahead=4))


def test_error_in_one_round_still_records_the_calls_under_way(tmp_path: Path) -> None:
    all_begun = threading.Barrier(4)

    def answer(asked: Asked) -> Answer:
        if all_begun.wait(5) == 0:
            raise OSError("the model broke down")
        time.sleep(0.05)
        return by_content(asked)

    lm = scripted_lm(answer, cache=False)
    store = RunStore(tmp_path / "run.sqlite")
    with dspy.context(lm=lm), store, pytest.raises(LMError) as caught:
        on_threads(many_draws(), 100, recorder=Recorder(store))
    assert "the model broke down" in str(caught.value.__cause__)
    assert len(lm.engine.asked) == 4
    assert load_run(tmp_path / "run.sqlite").n_calls == 3


def test_error_of_a_critic_still_records_the_calls_under_way(tmp_path: Path) -> None:
    class Broken(Critic):
        def forward(self, task: TableTask, written: Written, rollout_id: int = 0) -> dspy.Prediction:
            raise ZeroDivisionError("no such critique")

    def answer(asked: Asked) -> Answer:
        is_first = all_begun.wait(5) == 0
        time.sleep(0 if is_first else 0.05)
        return by_content(asked)

    all_begun = threading.Barrier(4)
    lm = scripted_lm(answer, cache=False)
    loop = SynthLoop(run_settings("paper", n_iter=2, n_shots=2, rounds_ahead=4), critic=Broken())
    with dspy.context(lm=lm), RunStore(tmp_path / "run.sqlite") as store, pytest.raises(ZeroDivisionError):
        on_threads(loop, 100, recorder=Recorder(store))
    assert load_run(tmp_path / "run.sqlite").n_calls == len(lm.engine.asked) == 4


def first_conversation() -> TagalLoop:
    """One call at a time before many draws."""
    return METHODS["reduced-loop"](run_settings("paper", method="reduced-loop", n_shots=2))


@pytest.mark.parametrize(("program", "n_calls"), [(many_draws, 4), (first_conversation, 1)])
def test_program_that_is_cancelled_records_the_calls_under_way_and_ends_cancelled(
    tmp_path: Path, program: Callable[[], TagalLoop], n_calls: int
) -> None:
    def answer(asked: Asked) -> Answer:
        all_begun.wait(5)
        time.sleep(0.05)
        return by_content(asked)

    async def main() -> bool:
        task = asyncio.create_task(program().acall(task=shop_task(), n_rows=40, recorder=Recorder(store)))
        while len(lm.engine.asked) < n_calls:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    all_begun = threading.Barrier(n_calls)
    lm = scripted_lm(answer, cache=False)
    with dspy.context(lm=lm), RunStore(tmp_path / "run.sqlite") as store:
        assert asyncio.run(main())
    assert load_run(tmp_path / "run.sqlite").n_calls == len(lm.engine.asked) == n_calls


# Where a program is called from


def fail_instead_of_waiting(work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
    work.close()
    raise AssertionError("the event loop waits for itself")


def test_call_without_await_on_the_loop_that_models_are_called_on_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inside() -> dspy.Prediction:
        monkeypatch.setattr("asyncio.run_coroutine_threadsafe", fail_instead_of_waiting)
        return on_threads(many_draws(), 5)

    lm = scripted_lm(by_content, cache=False)
    with dspy.context(lm=lm), pytest.raises(EngineError, match="would wait for itself; await acall instead"):
        run_in_background(inside)
    assert not lm.engine.asked


def test_call_without_await_from_the_progress_of_another_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_progress(progress: Progress) -> None:
        monkeypatch.setattr("asyncio.run_coroutine_threadsafe", fail_instead_of_waiting)
        on_threads(many_draws(), 5)

    lm = scripted_lm(by_content, cache=False)
    with dspy.context(lm=lm), pytest.raises(EngineError, match="await acall instead"):
        on_threads(many_draws(), 40, on_progress=on_progress)


def test_call_without_await_on_an_event_loop_of_the_callers_gives_the_same_table() -> None:
    async def inside() -> dspy.Prediction:
        return on_threads(many_draws(), 20)

    with dspy.context(lm=scripted_lm(by_content, cache=False)):
        assert asyncio.run(inside()).table.equals(on_threads(many_draws(), 20).table)
