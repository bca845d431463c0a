"""Runs against a server that fails in every way: the table is the one of a server without faults."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import pandas as pd
import pytest
from scripts import shop_frame, shop_rows
from servers import FAULTS, Faulty, Reply, chat_server, completion, content

from tagal_dspy.engines import make_lm, remote
from tagal_dspy.synthesizer import TagalSynthesizer


def shop_server(body: dict[str, Any]) -> Reply | str:
    """Plays generator and critic, by what is asked alone. Rows are refused, repeated or of another table at times."""
    rng = random.Random(content(body))
    if "[[ ## rows ## ]]`" not in body["messages"][-1]["content"]:
        return "[[ ## strengths ## ]]\nfine\n\n[[ ## points ## ]]\n[]\n\n[[ ## completed ## ]]"
    rows = {
        "refused": "",
        "repeated": "\n".join([shop_rows(1, rng)] * 4),
        "of another table": "name,price\nlamp,3.5\nchair,70",
        "fine": shop_rows(4, rng),
    }[rng.choices(["refused", "repeated", "of another table", "fine"], weights=[1, 1, 1, 7])[0]]
    if not rows:
        return 200, completion(None, refusal="I cannot help with that.")
    return f"[[ ## rows ## ]]\n{rows}\n\n[[ ## completed ## ]]"


def sampled(reply: Any, n_rows: int) -> tuple[pd.DataFrame, Counter[str]]:
    """The table of a run, and what came of its requests."""
    with chat_server(reply) as address:
        lm = make_lm("openai/x", api_base=address, timeout=0.5, cache=False)
        synthesizer = TagalSynthesizer(lm, n_shots=3, rows_per_draw=4, rounds_ahead=16, seed=5)
        return synthesizer.fit(shop_frame(), "buys").sample(n_rows), lm.engine.service.outcomes


def check_run(n_rows: int, most: int, n_faults: int) -> None:
    faulty = Faulty(shop_server, most=most)
    table, outcomes = sampled(faulty, n_rows)
    fault_free, _ = sampled(shop_server, n_rows)
    pd.testing.assert_frame_equal(table, fault_free)
    assert len(table) == n_rows
    assert faulty.seen.total() - faulty.seen["answered"] >= n_faults
    assert set(FAULTS) <= set(faulty.seen)
    until = time.monotonic() + 5
    while faulty.seen.total() < outcomes.total() and time.monotonic() < until:
        time.sleep(0.1)  # a request may be read after its caller has given it up
    assert outcomes.total() == faulty.seen.total()
    assert set(outcomes) == {"answered", "provider", "rate_limit", "server", "timeout", "transport"}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.05)


def test_a_hundred_faults_change_no_row_and_every_request_is_counted() -> None:
    check_run(n_rows=60, most=2, n_faults=80)


@pytest.mark.slow
def test_a_thousand_faults_change_no_row_and_every_request_is_counted() -> None:
    check_run(n_rows=500, most=4, n_faults=1000)
