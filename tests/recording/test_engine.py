"""Calls are told apart by what is asked, not by when, and are counted whatever a server says of them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy import lm15

from tagal_dspy.errors import BudgetError, RunEndedError, SettingsError, cause_of
from tagal_dspy.recording import Recorder, RunStore, at_place, listening_lm, load_run, recorded_answer, reserve_retry
from tagal_dspy.settings import Budget
from tagal_dspy.testing import Asked, scripted_lm


def numbering_lm(fails_first: bool = False, **options: Any) -> tuple[dspy.LM, Any]:
    """An LM that answers, after a while, how often it was asked; and its engine."""

    def answer(asked: Asked) -> str:
        if fails_first and len(lm.engine.asked) == 1:
            raise OSError("not yet")
        time.sleep(0.03)
        return str(len(lm.engine.asked))

    lm = scripted_lm(answer, **{"cache": False, **options})
    return listening_lm(lm), lm.engine


def test_identical_draws_at_once_are_asked_once() -> None:
    lm, engine = numbering_lm()
    both, recorder = threading.Barrier(2), Recorder()

    def ask() -> list[str]:
        with recorder.active():
            both.wait()
            return list(lm("hello", rollout_id=1, temperature=1.0))

    with ThreadPoolExecutor(2) as threads:
        first, second = (each.result() for each in [threads.submit(ask), threads.submit(ask)])
    assert first == second
    assert len(engine.asked) == recorder.usage.calls == 1


def test_identical_draws_are_asked_once_in_asyncio() -> None:
    lm, engine = numbering_lm()

    async def ask() -> list[list[str]]:
        with Recorder().active():
            return await asyncio.gather(*(lm.acall("hello", rollout_id=1, temperature=1.0) for _ in range(3)))

    answers = asyncio.run(ask())
    assert answers[0] == answers[1] == answers[2]
    assert len(engine.asked) == 1


@pytest.mark.parametrize("remembers", [True, False])
def test_draw_that_is_asked_again_later_is_answered_as_before_by_a_recorder_that_remembers(remembers: bool) -> None:
    lm, engine = numbering_lm()
    recorder = Recorder(remembers=remembers)
    with recorder.active():
        for _ in range(3):
            lm("hello", rollout_id=1, temperature=1.0)
    assert len(engine.asked) == recorder.usage.calls == (1 if remembers else 3)


def test_identical_calls_without_a_name_are_draws_of_their_own() -> None:
    lm, engine = numbering_lm()
    with Recorder().active():
        assert lm("hello") != lm("hello")
    assert len(engine.asked) == 2


def test_identical_calls_at_different_places_keep_their_answers_whatever_their_order(tmp_path: Path) -> None:
    said = []
    for places in (["a", "b"], ["b", "a"]):
        lm, _ = numbering_lm()
        with RunStore(tmp_path / "run.sqlite") as store, Recorder(store).active():
            answers = {}
            for place in places:
                with at_place(place):
                    answers[place] = lm("hello")
        said.append(answers)
    assert said[0] == said[1]


def test_question_that_is_asked_again_at_a_place_is_a_draw_of_its_own_also_when_resumed(tmp_path: Path) -> None:
    lm, engine = numbering_lm()

    def asked_twice() -> list[str]:
        with RunStore(tmp_path / "run.sqlite") as store, Recorder(store).active(), at_place("0/0/critique"):
            return [*lm("hello"), *lm("hello")]

    assert asked_twice() == asked_twice() == ["1", "2"]
    assert len(engine.asked) == 2


def test_call_that_the_budget_of_another_run_refused_is_made_for_the_run_that_waits_for_it() -> None:
    entered, goes_on = threading.Event(), threading.Event()

    def answer_at_the_second_try(asked: Asked) -> str:
        entered.set()
        goes_on.wait(5)
        reserve_retry()
        return "written"

    lm = listening_lm(scripted_lm(answer_at_the_second_try, cache=False))
    shared = Recorder()

    def ask(inner: Recorder) -> list[str]:
        with shared.active(), inner.active(), at_place("0/0/draw"):
            return list(lm("hello"))

    with ThreadPoolExecutor(2) as threads:
        refused = threads.submit(ask, Recorder(budget=Budget(max_calls=1)))
        entered.wait(5)
        waiting = threads.submit(ask, Recorder())
        time.sleep(0.2)
        goes_on.set()
        assert waiting.result() == ["written"]
        with pytest.raises(Exception, match="the budget of 1 calls is used up"):
            refused.result()


def test_call_that_failed_is_made_again() -> None:
    lm, engine = numbering_lm(fails_first=True)
    recorder = Recorder()
    with recorder.active():
        with pytest.raises(Exception, match="not yet"):
            lm("hello", rollout_id=1, temperature=1.0)
        assert lm("hello", rollout_id=1, temperature=1.0)
    assert len(engine.asked) == recorder.usage.calls == 2


class CountingEngine:
    """Says what it is told of its usage."""

    def __init__(self, usage: Any) -> None:
        self._usage = usage

    def complete(self, request: lm15.Request) -> lm15.Response:
        message = lm15.Message.assistant([lm15.TextPart("one two three")])
        return lm15.Response(id=None, model=request.model, message=message, finish_reason="stop", usage=self._usage)


@pytest.mark.parametrize(
    ("usage", "is_estimated"), [(lm15.Usage(input_tokens=7, output_tokens=2), False), (lm15.Usage(), True)]
)
def test_tokens_that_a_server_does_not_count_are_counted_here(usage: Any, is_estimated: bool) -> None:
    lm = listening_lm(dspy.LM("scripted/model", engine=CountingEngine(usage), cache=False))
    recorder = Recorder(price=lambda name, n_in, n_out: (n_in + n_out) / 10)
    with recorder.active():
        lm("a question of some words")
    [counts] = recorder.usage.values()
    assert counts.get("estimated", 0) == is_estimated
    assert counts["calls"] == 1
    assert (counts["prompt_tokens"], counts["completion_tokens"]) == ((5, 3) if is_estimated else (7, 2))
    assert recorder.usage.cost == pytest.approx(recorder.usage.tokens / 10)


def test_nested_recorders_each_count_a_call_and_hold_it_to_their_budgets() -> None:
    lm, engine = numbering_lm()
    outer, inner = Recorder(budget=Budget(max_calls=3)), Recorder(budget=Budget(max_calls=2))
    with outer.active():
        lm("one")
        with inner.active():
            lm("two")
            lm("three")
            with pytest.raises(Exception, match="the budget of 3 calls is used up"):
                lm("four")
    assert (outer.usage.calls, inner.usage.calls, len(engine.asked)) == (3, 2, 3)


def test_refused_call_leaves_no_call_reserved() -> None:
    lm, _ = numbering_lm()
    outer, inner = Recorder(budget=Budget(max_calls=5)), Recorder(budget=Budget(max_calls=1))
    with outer.active(), inner.active():
        lm("one")
        for _ in range(6):
            with pytest.raises(Exception, match="the budget of 1 calls is used up"):
                lm("two")
    assert outer.usage.calls == 1
    assert outer.account.n_reserved == inner.account.n_reserved == 0


def test_every_try_of_an_engine_that_tries_again_counts() -> None:
    class Stubborn(CountingEngine):
        def complete(self, request: lm15.Request) -> lm15.Response:
            for _ in range(2):
                reserve_retry()
            return super().complete(request)

    lm = listening_lm(dspy.LM("scripted/model", engine=Stubborn(lm15.Usage(7, 2)), cache=False))
    recorder = Recorder(budget=Budget(max_calls=5))
    with recorder.active():
        lm("one")
        assert recorder.usage.calls == 3
        with pytest.raises(Exception, match="the budget of 5 calls is used up") as caught:
            lm("two")
    assert isinstance(cause_of(caught.value), BudgetError)
    assert (recorder.usage.calls, recorder.account.n_reserved) == (5, 0)


@pytest.mark.parametrize("price", [math.nan, -1.0, math.inf])
def test_price_that_is_none_is_refused_before_anything_is_asked(price: float) -> None:
    lm, engine = numbering_lm()
    with Recorder(price=lambda name, n_in, n_out: price).active(), pytest.raises(Exception, match="finite") as caught:
        lm("hello")
    assert isinstance(cause_of(caught.value), SettingsError)
    assert not engine.asked


def test_closed_recorder_waits_for_calls_under_way_and_refuses_others() -> None:
    lm, engine = numbering_lm()
    recorder = Recorder()

    def ask(text: str) -> list[str]:
        with recorder.active():
            return list(lm(text))

    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(ask, "one")
        while not engine.asked:
            time.sleep(0.001)
        assert recorder.close(seconds=5) == 0
        assert recorder.usage.calls == 1
        assert under_way.result() == ["1"]
    with pytest.raises(Exception, match="the run has ended") as caught:
        ask("two")
    assert isinstance(cause_of(caught.value), RunEndedError)
    assert len(engine.asked) == 1


def test_recorded_call_is_not_made_again_and_counts_as_before(tmp_path: Path) -> None:
    usages = []
    for _ in range(2):
        lm, engine = numbering_lm()
        recorder = Recorder(store := RunStore(tmp_path / "run.sqlite"), price=lambda name, n_in, n_out: 0.5)
        with store, recorder.active():
            answer = lm("hello", rollout_id=1, temperature=1.0)
        usages.append((recorder.usage, recorder.usage.cost, answer))
    assert usages[0] == usages[1]
    assert not engine.asked
    assert load_run(tmp_path / "run.sqlite").usage.cost == 0.5


def test_cached_answer_costs_nothing_and_is_recorded(tmp_path: Path) -> None:
    lm, engine = numbering_lm(cache=True)
    with Recorder().active():
        first = lm("a question that is cached")
    with RunStore(tmp_path / "run.sqlite") as store, (recorder := Recorder(store, Budget(max_calls=1))).active():
        assert lm("a question that is cached") == first
    assert (len(engine.asked), recorder.usage.calls) == (1, 0)
    assert load_run(tmp_path / "run.sqlite").n_calls == 1


def test_answer_of_a_person_is_recorded_and_asked_for_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append("rows")
        return "more variety"

    async def twice() -> list[str]:
        said = []
        for _ in range(2):
            with RunStore(tmp_path / "run.sqlite") as store, (recorder := Recorder(store)).active():
                said.append(await recorded_answer("rows", ask))
            assert recorder.usage.calls == 0
        return said

    assert asyncio.run(twice()) == ["more variety"] * 2
    assert asked == ["rows"]


def test_model_without_an_engine_object_goes_through_recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    from servers import chat_server

    with chat_server(lambda body: "said " + body["messages"][-1]["content"]) as address:
        lm = dspy.LM("openai/x", api_base=address, api_key="none", engine="lm15", cache=False)
        recorder = Recorder(budget=Budget(max_calls=1))
        listening = listening_lm(lm)
        with recorder.active():
            assert listening("hello") == ["said hello"]
            with pytest.raises(Exception, match="used up"):
                listening("again")
        assert recorder.usage == {"openai/x": {"calls": 1, "prompt_tokens": 10, "completion_tokens": 5}}
        assert len(listening.history) == len(lm.history) == 1
        assert listening_lm(listening) is listening
