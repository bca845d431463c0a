"""Which rows are wanted: conditions on columns, and how many rows of each class."""

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.conditions.parser import Comparison
from tagal_dspy.conditions.quotas import parse_rows_per, quotas_for
from tagal_dspy.conditions.slots import ANY, Slot, closest_rows, known_slots, real_counts, target_slots

__all__ = [
    "ANY",
    "Comparison",
    "Condition",
    "Slot",
    "closest_rows",
    "known_slots",
    "parse_rows_per",
    "quotas_for",
    "real_counts",
    "target_slots",
]
