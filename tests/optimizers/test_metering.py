"""Calls of a compilation are told apart by what is asked, not by when."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest

from tagal_dspy.modules import Ledger
from tagal_dspy.optimizers.metering import Meter, metered
from tagal_dspy.settings import Budget
from tagal_dspy.testing import Asked, scripted_lm


def test_identical_named_calls_at_once_are_asked_once() -> None:
    both = threading.Barrier(2)
    engine, lm, meter = slow_lm()

    def ask() -> list[str]:
        with dspy.context(callbacks=[meter]):
            both.wait()
            return list(lm("hello", rollout_id=1, temperature=1.0))

    with ThreadPoolExecutor(2) as threads:
        first, second = (each.result() for each in [threads.submit(ask), threads.submit(ask)])
    assert first == second
    assert len(engine.asked) == 1
    assert meter.ledger.usage["scripted/model"]["calls"] == 1


def test_identical_named_calls_are_asked_once_in_asyncio() -> None:
    engine, lm, meter = slow_lm()

    async def ask() -> list[list[str]]:
        with dspy.context(callbacks=[meter]):
            return await asyncio.gather(*(lm.acall("hello", rollout_id=1, temperature=1.0) for _ in range(3)))

    answers = asyncio.run(ask())
    assert answers[0] == answers[1] == answers[2]
    assert len(engine.asked) == 1


def test_identical_calls_without_a_name_are_draws_of_their_own() -> None:
    engine, lm, meter = slow_lm()
    with dspy.context(callbacks=[meter]):
        assert lm("hello") != lm("hello")
    assert len(engine.asked) == 2


def test_call_that_failed_is_made_again() -> None:
    engine, lm, meter = slow_lm(fails_first=True)
    with dspy.context(callbacks=[meter]):
        with pytest.raises(Exception, match="not yet"):
            lm("hello", rollout_id=1, temperature=1.0)
        assert lm("hello", rollout_id=1, temperature=1.0)
    assert len(engine.asked) == 2
    assert meter.ledger.usage["scripted/model"]["calls"] == 1


def slow_lm(fails_first: bool = False) -> tuple[Any, dspy.LM, Meter]:
    """An LM that says how often it was asked, after a while; its engine; and the meter before it."""

    def answer(asked: Asked) -> str:
        if fails_first and len(lm.engine.asked) == 1:
            raise OSError("not yet")
        time.sleep(0.05)
        return str(len(lm.engine.asked))

    lm = scripted_lm(answer)
    meter = Meter(Ledger(None, Budget()))
    return lm.engine, metered(lm, meter), meter
