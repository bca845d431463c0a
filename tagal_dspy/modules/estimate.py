"""What a run will take, before it is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from tagal_dspy.card import make_card
from tagal_dspy.modules.loop import TagalLoop
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.settings import MANY_ROWS
from tagal_dspy.task import TableTask

CRITIQUE_TOKENS = 250
"""Tokens of a critique or a refined prompt, as far as anybody can tell before."""


class Estimate(NamedTuple):
    """A run in which every row that comes is accepted; rejected rows come on top.

    Attributes:
        draws, critiques, summaries: calls of each role.
        prompt_tokens, completion_tokens: of all calls together.
    """

    draws: int
    critiques: int
    summaries: int
    prompt_tokens: int
    completion_tokens: int


def estimated(
    loop: TagalLoop, task: TableTask, n_rows: int, count: Callable[[str], int], wanted: Wanted | None = None
) -> Estimate:
    """Count the calls and tokens of a run; no LM is called.

    Args:
        loop: the program.
        task, n_rows, wanted: what it is to be called with.
        count: the tokens of a text.
    """
    run, n_turns = loop.new_run(task, n_rows, 0, wanted), loop.n_turns
    per_draw = loop.settings.rows_per_draw or MANY_ROWS
    rounds = sum(math.ceil(n / per_draw) for n in run.acceptance.pool.values())
    alone, conversations, summaries = loop.plan(rounds, len(run.slots))
    prompts = loop.preview(task, n_rows, 0, wanted)
    first = sum(count(message["content"]) for prompt in prompts for message in prompt) / len(prompts)
    answer = count(loop.generator.wire(task).encode(task.train_rows[:per_draw]))
    turn = answer + (CRITIQUE_TOKENS if loop.critic else 0)
    draws, critiques = alone + conversations * n_turns, conversations * (loop.calls_of_conversation - n_turns)
    # A later turn carries the turns before it; a critique is shown the card and the rows.
    later = conversations * turn * n_turns * (n_turns - 1) / 2
    shown = (critiques + summaries) * (count(make_card(task.schema)) + answer)
    return Estimate(
        draws,
        critiques,
        summaries,
        round(draws * first + later + shown),
        draws * answer + (critiques + summaries) * CRITIQUE_TOKENS,
    )
