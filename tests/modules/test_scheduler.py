"""What is asked for next follows from what is committed, and from nothing else."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import shop_rows, shop_task

from tagal_dspy.acceptance import AcceptancePipeline, RowFilter
from tagal_dspy.codecs import CsvCodec
from tagal_dspy.conditions import ANY, Condition, Slot
from tagal_dspy.modules.scheduler import FIRST_DRAWS, FIRST_ROWS, LOWEST_YIELD, PATIENCE, PATIENCE_ROWS, Scheduler
from tagal_dspy.modules.turns import DrawRequest
from tagal_dspy.schema import Row
from tagal_dspy.settings import MANY_ROWS, run_settings

TASK = shop_task()
YES, NO = Slot("yes"), Slot("no")


def new_rows(label: str) -> Iterator[Row]:
    """Rows of a class that are not in the table, no two alike."""
    for age in range(18, 81):
        for tenth in range(150, 500):
            row = str(age), f"{tenth / 10:.1f}", "Mons", label
            if row not in TASK.real_rows:
                yield row


class Planning:
    """A scheduler, the rows that it plans for, and rounds that bring what a test says."""

    def __init__(
        self, n_rows: int, quotas: dict[Slot, int] | None = None, pause_after: int | None = None, **chosen: Any
    ) -> None:
        self.acceptance = AcceptancePipeline(CsvCodec(TASK.schema), RowFilter(TASK), n_rows, quotas)
        asks = run_settings("grounded", **chosen)
        self.scheduler = Scheduler(asks, self.acceptance, pause_after)
        self._new = {label: new_rows(label) for label in ("yes", "no")}

    def all(self) -> list[DrawRequest]:
        """Every round that is wanted now."""
        found: list[DrawRequest] = []
        while request := self.scheduler.next():
            found.append(request)
            assert len(found) < 500
        return found

    def one(self) -> DrawRequest:
        """The next round."""
        request = self.scheduler.next()
        assert request is not None
        return request

    def commit(self, request: DrawRequest, new: int = 0, known: int = 0, label: str = "yes", **more: Any) -> None:
        """Commit a round that brought so many new rows of a class, and so many that are rejected as known ones."""
        offered = [next(self._new[request.slot.label or label]) for _ in range(new)] + TASK.train_rows[:known]
        accepted = self.acceptance.offer(offered)
        self.scheduler.committed(request, 1, len(offered), len(accepted), **more)

    def answer(self, request: DrawRequest, text: str) -> None:
        """Commit a round of one draw with this answer."""
        read = self.acceptance.read(text)
        self.acceptance.rejects += read.rejects
        accepted = self.acceptance.offer(read.rows)
        self.scheduler.committed(request, 1, len(read.rows), len(accepted))

    def fail(self, times: int) -> None:
        """Commit so many rounds without an accepted row, one after the other."""
        for _ in range(times):
            self.commit(self.one())


def sizes(requests: Sequence[DrawRequest]) -> list[int | None]:
    return [request.n_rows for request in requests]


# How many rows are asked for


def test_rows_that_are_missing_are_asked_for_and_no_more() -> None:
    planning = Planning(50, rows_per_draw=20)
    assert sizes(planning.all()) == [20, 20, 10]


def test_more_rows_are_asked_for_as_many_are_rejected() -> None:
    planning = Planning(100, rows_per_draw=20)
    planning.commit(planning.one(), new=10, known=10)
    rate = (10 + 1) / (20 + 1)
    assert sum(n or 0 for n in sizes(planning.all())) == math.ceil(90 / rate)


def test_however_many_are_rejected_no_more_than_ten_times_the_missing_rows_are_asked_for() -> None:
    planning = Planning(30, rows_per_draw=20)
    for _ in range(5):
        planning.commit(planning.one(), known=20)
    assert sum(n or 0 for n in sizes(planning.all())) == 30 / LOWEST_YIELD


def test_rows_that_nothing_is_wrong_with_but_that_there_are_enough_of_do_not_count_as_rejected() -> None:
    planning = Planning(60, {YES: 10, NO: 50}, rows_per_draw=20, draws="by-class")
    planning.commit(planning.scheduler.request(ANY, 40), new=40, label="yes")
    assert planning.acceptance.reject_counts() == {"quota_full": 30}
    assert sizes(planning.all()) == [20, 20, 10]


def test_rows_under_way_are_not_asked_for_again() -> None:
    planning = Planning(50, rows_per_draw=20)
    first, second, _ = planning.all()
    planning.commit(first, new=20)
    assert planning.scheduler.next() is None
    planning.commit(second, new=15, known=5)
    rate = (35 + 1) / (40 + 1)
    assert sizes(planning.all()) == [math.ceil(15 / rate) - 10]


def test_as_many_rows_as_possible_are_expected_to_be_as_many_as_came_before() -> None:
    planning = Planning(100, rows_per_draw=None)
    requests = planning.all()
    assert sizes(requests) == [None] * math.ceil(100 / MANY_ROWS)
    planning.commit(requests[0], new=40)
    assert planning.all() == []  # 60 are missing, 80 are under way
    planning.commit(requests[1], new=2)
    assert planning.all() == []  # 58 are missing, 60 are under way
    planning.commit(requests[2])
    assert len(planning.all()) == 2  # 58 are missing, 40 are under way, and a draw has brought 14 of them so far


def test_rejected_rows_do_not_make_draws_of_as_many_as_possible_more() -> None:
    planning = Planning(100, rows_per_draw=None)
    planning.commit(planning.one(), new=20, known=30)
    assert len(planning.all()) == math.ceil(80 / 50)


# Of which class


def test_class_with_most_rows_missing_goes_first() -> None:
    planning = Planning(45, {NO: 15, YES: 30}, rows_per_draw=10, draws="by-class")
    assert [(str(each.slot), each.n_rows) for each in planning.all()] == [
        ("yes", 10),
        ("yes", 10),
        ("no", 10),
        ("yes", 10),
        ("no", 5),
    ]


def test_any_rows_are_asked_for_until_one_class_is_complete() -> None:
    planning = Planning(40, {YES: 25, NO: 15}, rows_per_draw=20, draws="joint")
    first, second = planning.all()
    assert first.slot == second.slot == ANY
    planning.commit(first, new=20, label="yes")
    assert planning.all() == []
    planning.commit(second, new=5, label="yes")
    assert [(each.slot, each.n_rows) for each in planning.all()] == [(NO, 15)]


def test_parts_with_a_condition_are_drawn_one_by_one_from_the_start() -> None:
    old, young = (Slot(condition=Condition.parse(text, TASK.schema)) for text in ("age > 50", "age <= 50"))
    planning = Planning(30, {old: 10, young: 20}, rows_per_draw=10, draws="joint")
    assert [each.slot for each in planning.all()] == [young, old, young]


def test_round_sees_the_rows_of_its_class_that_are_accepted_when_it_is_planned() -> None:
    planning = Planning(60, {YES: 30, NO: 30}, rows_per_draw=10, draws="by-class")
    for _ in range(3):
        planning.commit(planning.one(), new=10)
    seen = [(str(each.slot), each.n_seen) for each in planning.all()]
    assert set(seen) == {("yes", 20), ("no", 10)}
    assert planning.scheduler.request(ANY, None).n_seen == 30


def test_rounds_are_numbered_as_they_are_planned() -> None:
    planning = Planning(50, rows_per_draw=10)
    numbers = [planning.scheduler.request(ANY, 10).number, *(each.number for each in planning.all())]
    assert numbers == list(range(6))


# When to end


@pytest.mark.parametrize(("rows_per_draw", "patience"), [(None, PATIENCE), (20, PATIENCE), (4, PATIENCE_ROWS // 4)])
def test_draws_in_a_row_without_an_accepted_row_end_it_later_where_draws_are_small(
    rows_per_draw: int | None, patience: int
) -> None:
    planning = Planning(1000, rows_per_draw=rows_per_draw)
    planning.fail(patience - 1)
    assert planning.scheduler.wants_more
    planning.fail(1)
    assert not planning.scheduler.wants_more
    assert planning.scheduler.next() is None


def test_one_accepted_row_lets_failed_draws_be_counted_from_zero() -> None:
    planning = Planning(100, rows_per_draw=20)
    planning.fail(PATIENCE - 1)
    planning.commit(planning.one(), new=1)
    planning.fail(PATIENCE - 1)
    assert planning.scheduler.wants_more


def test_draws_are_bounded_where_a_row_comes_now_and_then() -> None:
    planning = Planning(40, rows_per_draw=20)
    while planning.scheduler.wants_more:
        planning.commit(planning.one(), new=int(planning.scheduler.n_draws % 10 == 0))
    assert planning.scheduler.n_draws == PATIENCE + PATIENCE * 2
    assert not planning.scheduler.is_complete


def test_nothing_is_wanted_after_the_last_row() -> None:
    planning = Planning(20, rows_per_draw=10)
    first, second = planning.all()
    planning.commit(first, new=10)
    assert not planning.scheduler.is_complete
    planning.commit(second, new=10)
    assert planning.scheduler.is_complete
    assert not planning.scheduler.wants_more
    assert planning.scheduler.next() is None


def test_planning_pauses_after_failed_draws_in_a_row_and_goes_on_when_it_is_resumed() -> None:
    planning = Planning(100, pause_after=3, rows_per_draw=20)
    planning.fail(2)
    planning.commit(planning.one(), new=1)
    planning.fail(3)
    assert planning.scheduler.next() is None
    assert planning.scheduler.wants_more
    assert planning.scheduler.resume()
    assert not planning.scheduler.resume()
    planning.fail(3)
    assert planning.scheduler.next() is None


def test_planning_that_has_not_paused_is_not_resumed() -> None:
    planning = Planning(100, pause_after=3, rows_per_draw=20)
    planning.fail(2)
    assert not planning.scheduler.resume()


def test_planning_that_has_given_up_is_not_resumed() -> None:
    planning = Planning(100, pause_after=PATIENCE, rows_per_draw=20)
    planning.fail(PATIENCE)
    assert not planning.scheduler.resume()


def test_pause_lasts_while_failed_rounds_under_way_are_committed() -> None:
    planning = Planning(100, pause_after=3, rows_per_draw=20)
    requests = planning.all()
    for request in requests[:4]:
        planning.commit(request)
    assert planning.scheduler.next() is None
    assert planning.scheduler.resume()


# When all first answers are refused for one reason

PARIS, MISFIT, PROSE = "33,20.5,Paris,yes", "33,20.5", "I cannot write rows."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (PROSE, "unparsable"),
        (MISFIT, "wrong_width"),
        (PARIS, "unknown_category"),
        ("900,20.5,Mons,yes", "out_of_range"),
        ("old,20.5,Mons,yes", "wrong_type"),
        (f"Here they are:\n{PARIS}\n{PARIS}", "unknown_category"),
    ],
)
def test_first_draws_that_are_refused_for_one_reason_end_it(answer: str, reason: str) -> None:
    planning = Planning(1000, rows_per_draw=20)
    for _ in range(FIRST_DRAWS):
        assert planning.scheduler.refused_for is None
        planning.answer(planning.one(), answer)
    assert planning.scheduler.refused_for == reason
    assert not planning.scheduler.wants_more
    assert planning.scheduler.next() is None
    assert not planning.scheduler.resume()


@pytest.mark.parametrize("answers", [[PARIS, MISFIT], [f"{PARIS}\n{MISFIT}"], [""], [f"{PARIS}\n{PROSE}\n{PROSE}"]])
def test_first_draws_that_are_refused_for_several_reasons_or_none_do_not_end_it(answers: list[str]) -> None:
    planning = Planning(1000, rows_per_draw=20)
    for number in range(PATIENCE - 1):
        planning.answer(planning.one(), answers[number % len(answers)])
    assert planning.scheduler.refused_for is None
    assert planning.scheduler.wants_more


def test_rows_that_are_only_known_already_do_not_end_it_early() -> None:
    planning = Planning(1000, rows_per_draw=20)
    for _ in range(PATIENCE - 1):
        planning.commit(planning.one(), known=20)
    assert planning.scheduler.wants_more


def test_one_accepted_row_leaves_it_its_patience() -> None:
    planning = Planning(1000, rows_per_draw=20)
    planning.commit(planning.one(), new=1)
    for _ in range(PATIENCE - 1):
        planning.answer(planning.one(), PROSE)
    assert planning.scheduler.wants_more


def test_more_draws_are_tried_where_they_are_small() -> None:
    planning = Planning(1000, rows_per_draw=4)
    for _ in range(math.ceil(FIRST_ROWS / 4)):
        assert planning.scheduler.wants_more
        planning.answer(planning.one(), PROSE)
    assert planning.scheduler.refused_for == "unparsable"


def test_failed_draws_that_are_repeated_as_in_the_paper_do_not_end_it_early() -> None:
    planning = Planning(1000, rows_per_draw=20, max_failed_draws=3)
    for _ in range(PATIENCE - 1):
        planning.answer(planning.one(), PROSE)
    assert planning.scheduler.wants_more


def test_no_more_than_the_first_draws_are_under_way_before_one_brings_a_row() -> None:
    planning = Planning(1000, rows_per_draw=20)
    requests = planning.all()
    assert len(requests) == FIRST_DRAWS
    planning.answer(requests[0], PROSE)
    assert planning.all() == []
    planning.commit(requests[1], new=20)
    assert len(planning.all()) > FIRST_DRAWS


# Conversations whose rows are not meant for the table


def test_conversation_that_is_left_out_counts_as_neither_failed_nor_offered() -> None:
    planning = Planning(100, rows_per_draw=None)
    planning.fail(PATIENCE - 1)
    conversation = planning.scheduler.request(ANY, None)
    planning.scheduler.committed(conversation, 3, 0, 0, is_left_out=True)
    assert planning.scheduler.n_draws == PATIENCE - 1 + 3
    assert planning.scheduler.wants_more
    planning.fail(1)
    assert not planning.scheduler.wants_more


def test_conversation_that_is_left_out_does_not_say_how_many_rows_a_draw_brings() -> None:
    planning = Planning(100, rows_per_draw=None)
    planning.scheduler.committed(planning.scheduler.request(ANY, None), 3, 0, 0, is_left_out=True)
    assert len(planning.all()) == math.ceil(100 / MANY_ROWS)


def test_conversation_that_is_kept_counts_as_offered() -> None:
    planning = Planning(100, rows_per_draw=None)
    planning.commit(planning.scheduler.request(ANY, None), new=40)
    assert len(planning.all()) == math.ceil(60 / 40)


# What a plan depends on


def answer(number: int, n_rows: int, n_odd: int) -> str:
    """An answer with so many rows, and so many lines that are none."""
    return "\n".join([shop_rows(n_rows, random.Random(number)), *["not a row"] * n_odd])


def plan(
    brought: Sequence[tuple[int, int]], ahead: int, arrivals: random.Random | None = None, **chosen: Any
) -> list[DrawRequest]:
    """Every round of a run; with `arrivals`, answers are read in an order of their own before they are committed."""
    planning = Planning(60, {YES: 35, NO: 25}, **chosen)
    answers: dict[int, str] = {}
    planned: list[DrawRequest] = []
    under_way: deque[DrawRequest] = deque()
    while not planning.scheduler.is_complete:
        while len(under_way) < ahead and (request := planning.scheduler.next()):
            planned.append(request)
            under_way.append(request)
            answers[request.number] = answer(request.number, *brought[request.number % len(brought)])
        if not under_way:
            break
        if arrivals is not None:
            for request in arrivals.sample(list(under_way), len(under_way)):
                planning.acceptance.read(answers[request.number])
        request = under_way.popleft()
        planning.answer(request, answers[request.number])
    return planned


@settings(max_examples=30)
@given(
    brought=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=6),
    ahead=st.integers(1, 9),
    rows_per_draw=st.sampled_from([None, 7]),
    draws=st.sampled_from(["joint", "by-class"]),
    seed=st.integers(0, 9),
)
def test_plan_is_the_same_in_whatever_order_answers_arrive_and_it_ends(
    brought: list[tuple[int, int]], ahead: int, rows_per_draw: int | None, draws: str, seed: int
) -> None:
    chosen: dict[str, Any] = {"rows_per_draw": rows_per_draw, "draws": draws}
    planned = plan(brought, ahead, **chosen)
    assert plan(brought, ahead, random.Random(seed), **chosen) == planned
    most = PATIENCE_ROWS // (rows_per_draw or MANY_ROWS) + PATIENCE * (1 + 60 // (rows_per_draw or MANY_ROWS) + 2)
    assert len(planned) <= most + ahead


def test_order_of_the_rows_of_a_round_does_not_change_what_is_planned() -> None:
    def planned(rows: Sequence[Row]) -> list[DrawRequest]:
        planning = Planning(80, rows_per_draw=20)
        first, *_ = planning.all()
        accepted = planning.acceptance.offer(rows)
        planning.scheduler.committed(first, 1, len(rows), len(accepted))
        return planning.all()

    rows = [*TASK.train_rows[:10], *[row for row, _ in zip(new_rows("yes"), range(10), strict=False)]]
    assert planned(rows) == planned(rows[::-1]) != []
