from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.schema import TableSchema
from tagal_dspy.task import TableTask


def people(n_rows: int, seed: int) -> pd.DataFrame:
    """A table with a number, a category, a boolean, missing cells, related columns and a target."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, n_rows)
    wage = np.round(age * 0.6 + rng.gamma(3, 4, n_rows), 1)
    job = np.where(wage > 45, "clerk", rng.choice(["cook", "clerk", "smith"], n_rows))
    wage[rng.random(n_rows) < 0.05] = np.nan
    town = pd.Series(rng.choice(["Ath", "Huy"], n_rows, p=[0.7, 0.3]), dtype=object)
    town[rng.random(n_rows) < 0.1] = None
    rich = age + rng.normal(0, 8, n_rows) > 52
    return pd.DataFrame(
        {"age": age, "wage": wage, "job": job, "town": town, "owner": rng.random(n_rows) < 0.4, "rich": rich}
    ).assign(rich=np.where(rich, "yes", "no"))


@pytest.fixture(scope="session")
def real() -> pd.DataFrame:
    return people(400, 0)


@pytest.fixture(scope="session")
def holdout() -> pd.DataFrame:
    return people(150, 1)


@pytest.fixture(scope="session")
def fresh() -> pd.DataFrame:
    """What a perfect generator makes."""
    return people(120, 2)


@pytest.fixture(scope="session")
def schema(real: pd.DataFrame) -> TableSchema:
    return TableSchema.infer(real, target="rich")


@pytest.fixture(scope="session")
def task() -> TableTask:
    return TableTask(people(500, 3), target="rich")
