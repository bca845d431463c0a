"""What scripted language models say in tests."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable

import pandas as pd

from tagal_dspy.task import TableTask
from tagal_dspy.testing import Answer, Asked


def shop_frame(n_rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """A small table: age and income rise together, and with them the share of buyers."""
    rng = random.Random(seed)
    ages = [rng.randint(18, 80) for _ in range(n_rows)]
    return pd.DataFrame(
        {
            "age": ages,
            "income": [round(age * 0.5 + rng.uniform(0, 20), 1) for age in ages],
            "city": [rng.choice(["Ghent", "Leuven", "Mons"]) for _ in ages],
            "buys": ["yes" if rng.random() < age / 100 else "no" for age in ages],
        }
    )


def shop_task() -> TableTask:
    """The table above as a task."""
    return TableTask(shop_frame(), target="buys")


def shop_rows(n_rows: int, rng: random.Random) -> str:
    """Valid rows of the shop table as CSV, without a header."""
    return "\n".join(
        f"{rng.randint(20, 78)},{rng.uniform(12, 55):.1f},{rng.choice(['Ghent', 'Leuven', 'Mons'])},"
        f"{rng.choice(['yes', 'no'])}"
        for _ in range(n_rows)
    )


def shop_writer(n_rows: int = 20) -> Callable[[Asked], Answer]:
    """Plays all three roles. Rows depend on the conversation and on how often the same thing was asked."""
    counts: dict[str, int] = {}

    def answer(asked: Asked) -> Answer:
        if "rows" in asked.fields:
            key = hashlib.sha256(repr(asked.turns).encode()).hexdigest()
            counts[key] = counts.get(key, 0) + 1
            return {"rows": shop_rows(n_rows, random.Random(f"{key}/{counts[key]}"))}
        return other_roles(asked)

    return answer


def other_roles(asked: Asked) -> Answer:
    """A critique or a summary."""
    if "strengths" in asked.fields:
        point = {"column": "age", "problem": "too old", "evidence": "row 1", "recommendation": "write younger people"}
        return {"strengths": "plausible cities", "points": json.dumps([point]), "followed": "partly"}
    return {"refined_prompt": "Write shoppers. Look at {few_shots} first."}


def role(asked: Asked) -> str:
    """Which role a question is for."""
    return {"rows": "generate", "strengths": "critique", "refined_prompt": "summarize"}[asked.fields[0]]
