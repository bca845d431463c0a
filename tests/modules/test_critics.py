"""Critics by one contract, and what each of them adds."""

from __future__ import annotations

import asyncio
import copy
import random

import dspy
import pytest
from scripts import other_roles, shop_rows, shop_task

from tagal_dspy.codecs import CsvCodec
from tagal_dspy.modules import Critic, EyeCritic, GroundedCritic, HumanCritic, MeasuredCritic
from tagal_dspy.modules.critics import Written
from tagal_dspy.schema import Row
from tagal_dspy.signatures import Table
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
