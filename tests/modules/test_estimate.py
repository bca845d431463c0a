"""An estimate is what a run takes in which every row is accepted."""

from __future__ import annotations

import random
from typing import Any

import pytest
from scripts import other_roles, role, shop_frame, shop_rows

from tagal_dspy.engines import count_tokens
from tagal_dspy.modules import METHODS
from tagal_dspy.settings import Method
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.testing import Answer, Asked, scripted_lm


def synthesizer(**settings: Any) -> tuple[TagalSynthesizer, Any]:
    def answer(asked: Asked) -> Answer:
        if "rows" not in asked.fields:
            return other_roles(asked)
        return {"rows": shop_rows(10, random.Random(str(len(lm.engine.asked))))}

    lm = scripted_lm(answer, cache=False)
    made = TagalSynthesizer(lm, n_shots=3, rows_per_draw=10, shares="free", keep="last", strictness="valid", **settings)
    return made.fit(shop_frame(), "buys"), lm.engine


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("critic", ["none", "eye"])
def test_calls_are_those_of_the_run(method: Method, critic: str) -> None:
    made, engine = synthesizer(method=method, critic=critic, n_iter=2)
    found = made.estimate(60, count_tokens)
    assert not engine.asked
    made.sample(60)
    roles = [role(asked) for asked in engine.asked]
    expected = {"generate": found.draws, "critique": found.critiques, "summarize": found.summaries}
    assert {name: roles.count(name) for name in set(roles)} == {name: n for name, n in expected.items() if n}


def test_tokens_are_near_those_of_the_run() -> None:
    made, _ = synthesizer(critic="none", n_iter=1)
    found = made.estimate(60, lambda text: len(text) // 4)  # as the scripted model counts
    made.sample(60)
    [used] = made.prediction_.usage.values()
    assert found.prompt_tokens == pytest.approx(used["prompt_tokens"], rel=0.1)
    assert found.completion_tokens == pytest.approx(used["completion_tokens"], rel=0.5)


def test_tokens_are_counted_without_a_network() -> None:
    assert count_tokens("age,income\n30,1200\n") in range(7, 12)
    assert count_tokens("<|endoftext|>") > 1
