"""How many calls at once, and when a server is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagal_dspy.engines.pacing import CEILING, FIRST_LIMIT, N_FAILURES, PATIENCE, PAUSE, Breaker, Pace, ServerDownError


def answers(pace: Pace, n_answers: int, seconds: float = 1.0) -> None:
    for _ in range(n_answers):
        pace.answered(seconds, n_busy=pace.limit)


@given(st.lists(st.one_of(st.floats(0.01, 100.0), st.none()), max_size=300))
def test_limit_stays_between_one_and_the_ceiling(events: list[float | None]) -> None:
    pace = Pace()
    for now, seconds in enumerate(events):
        if seconds is None:
            pace.refused(started=now, now=now + 0.5)
        else:
            pace.answered(seconds, n_busy=pace.limit)
        assert 1 <= pace.limit <= CEILING


def test_limit_doubles_in_a_call_until_the_first_refusal_and_then_adds_one() -> None:
    pace = Pace()
    answers(pace, FIRST_LIMIT)
    assert pace.limit == 2 * FIRST_LIMIT
    pace.refused(started=1.0, now=2.0)
    answers(pace, FIRST_LIMIT + 1)
    assert pace.limit == FIRST_LIMIT + 1


def test_calls_refused_together_halve_the_limit_once() -> None:
    pace = Pace()
    for now in (2.0, 2.1, 2.2):
        pace.refused(started=1.0, now=now)
    assert pace.limit == FIRST_LIMIT // 2
    pace.refused(started=3.0, now=4.0)
    assert pace.limit == FIRST_LIMIT // 4


def test_limit_does_not_grow_while_calls_take_much_longer_than_they_did() -> None:
    pace = Pace()
    answers(pace, FIRST_LIMIT, seconds=1.0)
    answers(pace, 2 * FIRST_LIMIT, seconds=5.0)
    limit = pace.limit
    answers(pace, limit, seconds=5.0)
    assert pace.limit == limit


def test_longer_calls_become_usual_in_time() -> None:
    pace = Pace()
    answers(pace, FIRST_LIMIT, seconds=1.0)
    answers(pace, 1000, seconds=5.0)
    assert pace.limit == CEILING


def test_limit_does_not_grow_while_it_is_not_used() -> None:
    pace = Pace()
    for _ in range(100):
        pace.answered(1.0, n_busy=2)
    assert pace.limit == FIRST_LIMIT


def test_number_that_the_user_gives_is_held() -> None:
    pace = Pace()
    pace.fixed = 5
    answers(pace, 50)
    pace.refused(started=1.0, now=2.0)
    assert pace.limit == 5


def breaker_that_answered() -> Breaker:
    breaker = Breaker("openai/x")
    breaker.answered()
    return breaker


def test_many_failures_in_a_short_time_are_borne() -> None:
    breaker = breaker_that_answered()
    assert not any(breaker.failed(now / 100, "busy") for now in range(100))
    breaker.check(1.0)


def test_few_failures_over_a_long_time_are_borne() -> None:
    breaker = breaker_that_answered()
    assert not any(breaker.failed(now * PATIENCE, "busy") for now in range(N_FAILURES - 1))


def test_server_that_was_never_reached_is_given_up_soon() -> None:
    unreached, reached = Breaker("openai/x"), Breaker("openai/x")
    assert any(unreached.failed(now, "connection refused") for now in range(10))
    assert not any(reached.failed(now, "busy", reached=True) for now in range(10))


def test_one_answer_between_failures_is_enough() -> None:
    breaker = breaker_that_answered()
    for now in range(0, 1000, 10):
        assert not breaker.failed(now, "busy")
        if now % 50 == 0:
            breaker.answered()
    breaker.check(1001.0)


def test_one_call_in_a_pause_tries_whether_the_server_is_back() -> None:
    breaker = breaker_that_answered()
    for now in range(N_FAILURES + 1):
        breaker.failed(now * PATIENCE, "busy")
    given_up = N_FAILURES * PATIENCE
    with pytest.raises(ServerDownError, match="busy"):
        breaker.check(given_up + PAUSE / 2)
    breaker.check(given_up + PAUSE)
    with pytest.raises(ServerDownError):
        breaker.check(given_up + PAUSE + 1)
    breaker.answered()
    breaker.check(given_up + PAUSE + 2)
