"""`transfer`: what programs are worth on other tables and with other language models."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dspy
import numpy as np

from tagal_dspy.errors import SettingsError
from tagal_dspy.modules import TagalLoop
from tagal_dspy.optimizers.job import Metric

if TYPE_CHECKING:
    import pandas as pd


def transfer(
    programs: Mapping[str, TagalLoop],
    tasks: Sequence[dspy.Example],
    metric: Metric,
    lms: Mapping[str, dspy.LM] | None = None,
    *,
    n_threads: int = 4,
) -> pd.DataFrame:
    """Score every program on every table with every language model.

    All programs write the same tasks under the same seeds, so that scores of a table can be compared pair by pair.

    Args:
        programs: by name.
        tasks: of one or more tables, see `generation_tasks`.
        metric: as for `compile_program`.
        lms: by name; the one of `dspy.settings` where None.
        n_threads: tables written at once.

    Returns:
        `program`, `table`, `lm`, `score` (mean over the tasks of the table), `low` and `high` (95 % interval of the
        mean, Student's t; NaN for one task) and `n` (tasks), program by program.

    Raises:
        SettingsError: no program or no task is given.
    """
    import pandas as pd

    if not programs or not tasks:
        raise SettingsError(f"there are {len(programs)} programs and {len(tasks)} tasks; give at least one of each")
    models = lms or {dspy.settings.lm.model if dspy.settings.lm else "": dspy.settings.lm}

    def score(program: TagalLoop, lm: dspy.LM, task: dspy.Example) -> float:
        with dspy.context(lm=lm):
            said: Any = metric(task, program(**task.inputs()))
        return float(getattr(said, "score", said))

    places = [(name, lm, task) for name in programs for lm in models for task in tasks]
    with ThreadPoolExecutor(n_threads, thread_name_prefix="tagal-transfer") as threads:
        runs = [
            threads.submit(contextvars.copy_context().run, score, programs[name], models[lm], task)
            for name, lm, task in places
        ]
        scores = [run.result() for run in runs]
    rows = [
        {"program": name, "table": task.task.schema.name, "id": task.task.id, "lm": lm, "score": score}
        for (name, lm, task), score in zip(places, scores, strict=True)
    ]
    groups = pd.DataFrame(rows).groupby(["program", "table", "id", "lm"], sort=False)["score"]
    cells = [(*key[:2], key[3], float(each.mean()), *_interval(each.to_numpy()), len(each)) for key, each in groups]
    return pd.DataFrame(cells, columns=["program", "table", "lm", "score", "low", "high", "n"])


def _interval(scores: np.ndarray) -> tuple[float, float]:
    """Of the mean."""
    from scipy.stats import t

    if len(scores) < 2:
        return float("nan"), float("nan")
    mean, reach = scores.mean(), t.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / np.sqrt(len(scores))
    return float(mean - reach), float(mean + reach)
