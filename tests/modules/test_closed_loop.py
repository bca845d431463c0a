"""The best turn is kept, what is off is steered against, and doubtful labels are left out."""

from __future__ import annotations

import random
from collections.abc import Sequence

import dspy
import pytest
from scripts import other_roles, role, shop_frame, shop_rows, shop_task

from tagal_dspy.conditions import ANY, Condition
from tagal_dspy.measures.discrepancies import MarginCounts
from tagal_dspy.measures.profile import profile_of
from tagal_dspy.measures.quick_score import QuickScore
from tagal_dspy.modules import METHODS, SynthLoop
from tagal_dspy.modules.steering import AcceptedWindow, steered
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.schema import CategoricalColumn, NumericalColumn, Row
from tagal_dspy.settings import Method, run_settings
from tagal_dspy.task import TableTask
from tagal_dspy.testing import Answer, Asked, scripted_lm

TASK = shop_task()


def like_real(n_rows: int, rng: random.Random) -> str:
    """New rows close to real ones."""
    lines = []
    for age, income, city, buys in rng.sample(TASK.train_rows, n_rows):
        near = min(80, max(18, int(age or 0) + rng.choice([-1, 1])))
        lines.append(f"{near},{min(57.6, max(10.2, float(income or 0) + 0.3)):.1f},{city},{buys}")
    return "\n".join(lines)


def stuck(n_rows: int, rng: random.Random) -> str:
    """Rows of one age and one city, their labels at random."""
    return "\n".join(f"44,{rng.uniform(12, 55):.1f},Mons,{rng.choice(['yes', 'no'])}" for _ in range(n_rows))


def writer(quality: Sequence[str]) -> dspy.LM:
    """A model that writes well or badly, by the number of turns before."""

    def answer(asked: Asked) -> Answer:
        if role(asked) != "generate":
            return other_roles(asked)
        iteration = sum(who == "assistant" for who, _ in asked.turns)
        rng = random.Random(repr(asked.turns))
        return {"rows": like_real(20, rng) if quality[iteration] == "good" else stuck(20, rng)}

    return scripted_lm(answer, cache=False)


def offered(loop_settings: dict[str, object], quality: Sequence[str], preset: str = "grounded") -> set[int]:
    """The iterations that all rows of a table could come from."""
    settings = run_settings(preset, n_iter=len(quality), n_shots=3, **loop_settings)
    with dspy.context(lm=writer(quality)):
        prediction = SynthLoop(settings)(task=TASK, n_rows=30, seed=0)
    rows = set(TASK.schema.to_rows(prediction.table))
    written: dict[int, set[Row]] = {}
    for turn in prediction.turns:
        written.setdefault(turn.iteration, set()).update(turn.rows)
    return {iteration for iteration, of_iteration in written.items() if rows <= of_iteration}


def test_loop_that_gets_worse_keeps_the_first_iteration() -> None:
    assert offered({}, ["good", "bad", "bad"]) == {0}


def test_loop_that_gets_better_keeps_the_last_iteration() -> None:
    assert offered({}, ["bad", "good"]) == {1}


@pytest.mark.parametrize("quality", [["good", "bad", "bad"], ["bad", "bad", "good"]])
def test_paper_preset_keeps_the_last_iteration_whatever_it_is(quality: list[str]) -> None:
    assert offered({}, quality, preset="paper") == {2}


def test_conversation_ends_when_nothing_is_gained() -> None:
    lm = writer(["good", "bad", "bad"])
    with dspy.context(lm=lm):
        prediction = SynthLoop(run_settings("grounded", n_iter=3, n_shots=3))(task=TASK, n_rows=10)
    assert {turn.iteration for turn in prediction.turns} == {0, 1}


def test_every_iteration_is_scored_and_the_curve_reported() -> None:
    with dspy.context(lm=writer(["good", "bad", "bad"])):
        prediction = SynthLoop(run_settings("paper", n_iter=3, n_shots=3))(task=TASK, n_rows=30)
    assert all(turn.score is not None for turn in prediction.turns)
    assert len(prediction.curve) == 3
    assert prediction.curve[0] > prediction.curve[1]


@pytest.mark.parametrize("method", ["reduced-loop", "prompt-refine"])
def test_what_follows_is_built_on_the_best_turn(method: Method) -> None:
    lm = writer(["good", "bad", "bad"])
    with dspy.context(lm=lm):
        METHODS[method](run_settings("grounded", method=method, n_iter=3, n_shots=3))(task=TASK, n_rows=40)
    builds_on = (
        lm.engine.asked[-1] if method == "reduced-loop" else next(a for a in lm.engine.asked if role(a)[0] == "s")
    )
    text = "\n".join(text for _, text in builds_on.turns)
    assert text.count(",Mons,") < 20
    assert "Turn 2" not in text


@pytest.mark.parametrize("withholds", [True, False])
def test_score_prefers_real_rows_to_shuffled_and_stuck_ones(withholds: bool) -> None:
    score = QuickScore(TableTask(shop_frame(), "buys", withholds=withholds))
    rng = random.Random(0)
    real = rng.sample(TASK.train_rows, 30)
    columns = [rng.sample(column, len(column)) for column in zip(*real, strict=True)]
    shuffled: list[Row] = list(zip(*columns, strict=True))
    one_row = [real[0]] * 30
    assert score(real) > score(shuffled) > score(one_row)


def test_score_does_not_depend_on_the_order_of_rows() -> None:
    score, real = QuickScore(TASK), TASK.train_rows[:30]
    assert score(real) == pytest.approx(score(real[::-1]), abs=1e-12)
    assert score.noise(real) == score.noise(real)


def test_score_of_no_rows_is_zero() -> None:
    assert QuickScore(TASK)([]) == 0.0


def counted(rows: Sequence[Row]) -> MarginCounts:
    counts = MarginCounts(profile_of(TASK))
    counts.add(rows)
    return counts


def test_value_that_is_too_frequent_cannot_be_written_next() -> None:
    rows = [(row[0], row[1], "Mons", row[3]) for row in TASK.train_rows[:40]]
    narrowed = steered(TASK, counted(rows), ANY)["city"]
    assert isinstance(narrowed, CategoricalColumn)
    assert narrowed.categories == ("Ghent", "Leuven")


def test_numbers_that_are_too_low_are_followed_by_higher_ones() -> None:
    rows = [row for row in TASK.train_rows if int(row[0] or 0) < 45]
    narrowed = steered(TASK, counted([(row[0], "30.0", *row[2:]) for row in rows]), ANY)
    [column] = narrowed.values()
    assert isinstance(column, NumericalColumn)
    assert column.minimum > TASK.schema[column.name].minimum  # type: ignore[union-attr]


def test_real_rows_are_not_steered() -> None:
    assert steered(TASK, counted(TASK.schema.to_rows(TASK.validation)), ANY) == {}


def test_few_rows_are_not_steered() -> None:
    assert steered(TASK, counted([("44", "30.0", "Mons", "no")] * 9), ANY) == {}


def test_window_of_accepted_rows_counts_the_latest_alone() -> None:
    rows = TASK.train_rows[:60]
    window = AcceptedWindow(TASK, ANY, 20)
    for end in (5, 5, 31, 60):
        window.move(rows, end)
        latest = counted(rows[max(0, end - 20) : end])
        assert window.counts.n_rows == latest.n_rows
        assert window.counts.values == latest.values
        assert all((a == b).all() for a, b in zip(window.counts.levels, latest.levels, strict=True))


def test_steering_reaches_the_grammar() -> None:
    def answer(asked: Asked) -> Answer:
        return {"rows": stuck(20, random.Random(repr(asked.turns)))}

    lm = scripted_lm(answer, takes_grammar=True, cache=False)
    settings = run_settings("grounded", n_iter=1, critic="none", steering="grammar", rounds_ahead=1, rows_per_draw=20)
    with dspy.context(lm=lm):
        SynthLoop(settings)(task=TASK, n_rows=38, seed=0)
    assert '"Mons"' in lm.engine.asked[0].extra["grammar"]
    assert any(
        '"Mons"' not in asked.extra["grammar"] or "[4" not in asked.extra["grammar"] for asked in lm.engine.asked[1:]
    )


def test_rows_whose_label_the_real_rows_contradict_are_rejected() -> None:
    wrong = "\n".join(f"{age},{age * 0.5 + 5:.1f},Ghent,yes" for age in range(19, 24))
    right = "\n".join(f"{age},{age * 0.5 + 12:.1f},Ghent,yes" for age in range(60, 80))

    def answer(asked: Asked) -> Answer:
        return {"rows": f"{wrong}\n{right}\n{shop_rows(20, random.Random(repr(asked.turns)))}"}

    settings = run_settings("grounded", n_iter=1, critic="none", shares="free", curation="labels")
    with dspy.context(lm=scripted_lm(answer, cache=False)):
        prediction = SynthLoop(settings)(task=TASK, n_rows=20, seed=0)
    noisy = [reject.text for reject in prediction.rejects if reject.reason == "label_noise"]
    assert any(text.startswith(("19,", "20,", "21,", "22,", "23,")) for text in noisy)
    assert not any(text.endswith("yes") and text.startswith(("70,", "75,")) for text in noisy)


@pytest.mark.parametrize(("condition", "judges"), [("age <= 40", True), ("age == {absent}", False)])
def test_labels_are_judged_only_where_training_rows_meet_the_condition(condition: str, judges: bool) -> None:
    absent = next(age for age in range(19, 40) if str(age) not in {row[0] for row in TASK.train_rows})

    def answer(asked: Asked) -> Answer:
        incomes = random.Random(repr((asked.turns, asked.seed))).sample(range(110, 200), 20)
        return {"rows": "\n".join(f"{absent},{income / 10},Ghent,yes" for income in incomes)}

    wanted = Wanted(Condition.parse(condition.format(absent=absent), TASK.schema))
    loop = SynthLoop(run_settings("grounded", critic="none", n_iter=1, curation="labels", shares="free"))
    with dspy.context(lm=scripted_lm(answer, cache=False)):
        found = loop(task=TASK, n_rows=40, seed=0, wanted=wanted, if_short="return")
    assert any(reject.reason == "label_noise" for reject in found.rejects) == judges
