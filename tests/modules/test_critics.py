"""Critics by one contract, and what each of them adds."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import Any

import dspy
import pytest
from scripts import other_roles, shop_rows, shop_task, shop_writer

from tagal_dspy.codecs import CsvCodec
from tagal_dspy.modules import Critic, EyeCritic, GroundedCritic, HumanCritic, MeasuredCritic, SynthLoop
from tagal_dspy.modules.critics import Written
from tagal_dspy.schema import Row
from tagal_dspy.settings import RunSettings
from tagal_dspy.signatures import Table
from tagal_dspy.signatures.critique import WEAKNESSES_ALONE
from tagal_dspy.testing import Answer, Asked, scripted_lm

TASK = shop_task()
CODEC = CsvCodec(TASK.schema)


def written(stuck: bool, n_rows: int = 40) -> Written:
    """Rows of the shop, with the age stuck at 30 or not."""
    rows: list[Row] = list(CODEC.decode(shop_rows(n_rows, random.Random(0))).rows)
    if stuck:
        rows = [("30", *row[1:]) for row in rows]
    return Written(Table(text=CODEC.encode(rows[:30])), tuple(rows))


class CriticContract:
    def critic(self) -> Critic:
        raise NotImplementedError

    def ask(self, turn: Written, answer: Answer | None = None) -> dspy.Prediction:
        lm = scripted_lm(lambda asked: other_roles(asked) if answer is None else answer, cache=False)
        with dspy.context(lm=lm):
            return self.critic()(task=TASK, written=turn, rollout_id=1)

    def test_critique_is_text(self) -> None:
        assert isinstance(self.ask(written(stuck=True)).critique, str)

    def test_equal_turns_have_equal_critiques(self) -> None:
        assert self.ask(written(stuck=True)).critique == self.ask(written(stuck=True)).critique

    def test_asyncio_says_the_same(self) -> None:
        with dspy.context(lm=scripted_lm(other_roles, cache=False)):
            said = asyncio.run(self.critic().acall(task=TASK, written=written(stuck=True), rollout_id=1))
        assert said.critique == self.ask(written(stuck=True)).critique

    def test_no_rows_are_no_error(self) -> None:
        assert isinstance(self.ask(Written(Table(text=""))).critique, str)

    @pytest.mark.parametrize("answer", ["", "I refuse.", '{"strengths": 1}', "[[ ## points ## ]]\nnot a list"])
    def test_no_answer_of_a_model_raises(self, answer: str) -> None:
        assert isinstance(self.ask(written(stuck=False), answer).critique, str)

    def test_copies_work_alike(self) -> None:
        lm = scripted_lm(other_roles, cache=False)
        with dspy.context(lm=lm):
            critic = self.critic()
            said = [each(task=TASK, written=written(stuck=True)).critique for each in (critic, copy.deepcopy(critic))]
        assert said[0] == said[1]


class TestEyeCritic(CriticContract):
    def critic(self) -> Critic:
        return EyeCritic()

    def test_model_is_told_nothing_measured(self) -> None:
        lm = scripted_lm(other_roles, cache=False)
        with dspy.context(lm=lm):
            said = self.critic()(task=TASK, written=written(stuck=True))
        assert "[[ ## discrepancies ## ]]" not in lm.engine.asked[0].last
        assert said.discrepancies == ()


class TestGroundedCritic(CriticContract):
    def critic(self) -> Critic:
        return GroundedCritic()

    def test_model_is_told_what_was_measured(self) -> None:
        lm = scripted_lm(other_roles, cache=False)
        with dspy.context(lm=lm):
            said = self.critic()(task=TASK, written=written(stuck=True))
        assert '"age" is 30 in 100 % of the rows' in lm.engine.asked[0].last
        assert said.discrepancies[0].columns == ("age",)


class TestMeasuredCritic(CriticContract):
    def critic(self) -> Critic:
        return MeasuredCritic()

    def test_measurement_is_the_critique_and_no_model_is_called(self) -> None:
        def nobody(asked: Asked) -> Answer:
            raise AssertionError("called")

        with dspy.context(lm=scripted_lm(nobody, cache=False)):
            assert '"age" is 30 in 100 % of the rows' in self.critic()(task=TASK, written=written(stuck=True)).critique

    def test_rows_without_discrepancy_are_to_go_on(self) -> None:
        rows = tuple(TASK.schema.to_rows(TASK.validation))
        said = self.critic()(task=TASK, written=Written(Table(text=CODEC.encode(rows)), rows))
        assert said.critique.startswith("Nothing measurable differs")


class TestHumanCritic(CriticContract):
    def critic(self) -> Critic:
        return HumanCritic(lambda text: "more variety, please")

    def test_person_sees_rows_and_measurement_and_is_quoted(self) -> None:
        shown: list[str] = []
        critic = HumanCritic(lambda text: shown.append(text) or " younger people ")  # type: ignore[func-returns-value]
        said = critic(task=TASK, written=written(stuck=True))
        assert said.critique == "younger people"
        assert "Ghent" in shown[0]
        assert '"age" is 30 in 100 % of the rows' in shown[0]


def asked_with(critic: Critic, turn: Written) -> Asked:
    """What the LM of a critic is asked."""
    lm = scripted_lm(other_roles, cache=False)
    with dspy.context(lm=lm):
        critic(task=TASK, written=turn)
    return lm.engine.asked[0]


def configured(**settings: Any) -> EyeCritic:
    critic = EyeCritic()
    critic.configure(RunSettings(**settings))
    return critic


def test_critic_of_weaknesses_asks_for_no_strengths() -> None:
    whole, weak = (asked_with(configured(critique=each), written(stuck=True)) for each in ("whole", "weaknesses"))
    assert (WEAKNESSES_ALONE in whole.system, "strengths" in whole.fields) == (False, True)
    assert (WEAKNESSES_ALONE in weak.system, "strengths" in weak.fields) == (True, False)


def test_critique_of_weaknesses_is_read() -> None:
    answer = {"points": '[{"column": "age", "problem": "is stuck"}]', "followed": ""}
    with dspy.context(lm=scripted_lm(lambda asked: answer, cache=False)):
        said = configured(critique="weaknesses")(task=TASK, written=written(stuck=True))
    assert said.critique == "- age: is stuck"


def test_critic_without_information_is_not_told_the_card() -> None:
    told, untold = (asked_with(configured(critic_info=each), written(stuck=True)).last for each in ("card", "none"))
    assert ("[[ ## card ## ]]" in told, "[[ ## card ## ]]" in untold) == (True, False)


@pytest.mark.parametrize(("setting", "n_shown"), [("none", 0), ("first", 1)])
def test_few_shots_are_shown_to_the_critic_with_the_first_rows_of_a_round(setting: Any, n_shown: int) -> None:
    lm = scripted_lm(shop_writer(6), cache=False)
    settings = RunSettings(n_iter=3, n_shots=2, rows_per_draw=6, critic_examples=setting, rounds_ahead=1)
    with dspy.context(lm=lm):
        SynthLoop(settings)(task=TASK, n_rows=6)
    critiques = [asked for asked in lm.engine.asked if "points" in asked.fields]
    n_with = [sum("[[ ## examples ## ]]" in text for _, text in asked.turns) for asked in critiques]
    assert len(n_with) >= 2
    assert n_with == [n_shown] * len(n_with)
