"""A budget pays for what it says to the last call, and for no more."""

from __future__ import annotations

from typing import Any

import pytest

from tagal_dspy.errors import BudgetError
from tagal_dspy.recording import Account, Promise, Usage
from tagal_dspy.settings import Budget


def account(**limits: Any) -> Account:
    """At an eighth of a dollar for a call of 100 tokens."""
    return Account(Budget(**limits), lambda name, n_in, n_out: (n_in + n_out) / 800)


def pay(for_calls: Account, n_calls: int, tokens: int = 100) -> None:
    """Make so many calls, one after the other."""
    for _ in range(n_calls):
        for_calls.reserve("model")
        for_calls.settle(Usage.of_call("model", tokens, 0, cost=tokens / 800))


def test_calls_are_paid_for_to_the_last_and_the_next_is_refused() -> None:
    of_three = account(max_calls=3)
    pay(of_three, 3)
    with pytest.raises(BudgetError, match="the budget of 3 calls is used up"):
        of_three.reserve("model")
    assert of_three.usage.calls == 3


def test_calls_under_way_count_before_they_have_ended() -> None:
    of_two = account(max_calls=2)
    of_two.reserve("model")
    of_two.reserve("model")
    with pytest.raises(BudgetError):
        of_two.reserve("model")
    assert of_two.n_reserved == 2


@pytest.mark.parametrize("limit", [{"max_tokens": 400}, {"max_cost": 0.5}])
def test_tokens_and_money_are_spent_to_the_limit_and_not_half_as_much_again(limit: dict[str, float]) -> None:
    held = account(**limit)
    pay(held, 3)
    pay(held, 1, tokens=99)
    pay(held, 1, tokens=1)
    with pytest.raises(BudgetError, match="is used up"):
        held.reserve("model")


def test_conversation_may_take_all_calls_that_are_left_but_not_one_more() -> None:
    of_ten = account(max_calls=10)
    pay(of_ten, 4)
    with pytest.raises(BudgetError, match=r"4 made; one more conversation takes up to 7"):
        of_ten.promise(Promise("too long", 7))
    assert of_ten.promise(Promise("long", 6)) is None


def test_conversation_waits_where_others_hold_what_it_would_take() -> None:
    of_ten = account(max_calls=10)
    first = Promise("first", 6)
    assert of_ten.promise(first) is None
    waiting = of_ten.promise(Promise("second", 5))
    assert waiting is not None
    assert not waiting.done()
    of_ten.keep_no_longer(first)
    assert waiting.done()
    assert of_ten.promise(Promise("second", 5)) is None


def test_calls_beside_a_promise_leave_it_what_it_holds() -> None:
    of_five = account(max_calls=5)
    promise = Promise("conversation", 4)
    assert of_five.promise(promise) is None
    of_five.reserve("model")
    with pytest.raises(BudgetError):
        of_five.reserve("model")
    for _ in range(4):
        of_five.reserve("model", promise)
        promise.made += 1
    assert of_five.n_reserved == 5


@pytest.mark.parametrize("limit", [{"max_tokens": 800}, {"max_cost": 1.0}])
def test_conversations_at_once_are_as_many_as_calls_like_those_before_leave_tokens_and_money_for(
    limit: dict[str, float],
) -> None:
    held = account(**limit)
    pay(held, 2)
    assert held.promise(Promise("first", 3)) is None
    assert held.promise(Promise("second", 3)) is None  # eight calls of 100 tokens
    assert held.promise(Promise("third", 1)) is not None


@pytest.mark.parametrize("limit", [{"max_tokens": 800}, {"max_cost": 1.0}])
def test_one_conversation_is_alone_until_a_call_tells_what_calls_take(limit: dict[str, float]) -> None:
    held = account(**limit)
    assert held.promise(Promise("first", 2)) is None
    assert held.promise(Promise("second", 2)) is not None
    pay(held, 1)
    assert held.promise(Promise("second", 2)) is None
