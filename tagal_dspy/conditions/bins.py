"""The parts that a target falls into: its classes, or ranges of a number to regress."""

from __future__ import annotations

from itertools import pairwise

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.conditions.slots import Slot
from tagal_dspy.schema import NumericalColumn
from tagal_dspy.task import TableTask


def target_slots(task: TableTask) -> list[Slot]:
    """One slot for each class, or for each quantile bin of the training rows; none without a target.

    >>> import pandas as pd
    >>> [str(slot) for slot in target_slots(TableTask(pd.DataFrame({"x": range(50), "y": range(50)}), "y"))]
    ['`y` <= 8', '`y` > 8 and `y` <= 21', '`y` > 21 and `y` <= 32', '`y` > 32']
    """
    schema = task.schema
    if schema.target is None or schema.classes:
        return [Slot(label) for label in schema.classes]
    column = schema[schema.target]
    if not isinstance(column, NumericalColumn):
        return []
    name = "`" + column.name.replace("`", "``") + "`"
    tops = [float(task.train[column.name].iloc[places].max()) for places in task.strata.values()]
    bounds = [None, *map(column.text, tops[:-1]), None]
    texts = [
        " and ".join([f"{name} > {low}"] * (low is not None) + [f"{name} <= {high}"] * (high is not None))
        for low, high in pairwise(bounds)
    ]
    return [Slot(condition=Condition.parse(text, schema)) for text in texts if text]
